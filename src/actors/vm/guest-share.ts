/**
 * The share of one guest: a directory that a file server serves to it, over a port that is plugged in for it.
 *
 * There is none until a container needs it. It is made once, whatever asks, and ends with the VM, or before if nobody needs
 * it any more. The server is in the journal from before its start until it has ended.
 */
import { join } from "node:path";
import type { Deadlines } from "../../contracts/deadlines.ts";
import { blazarError } from "../../contracts/errors.ts";
import type { FileServers } from "../../contracts/file-servers.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { HostFiles } from "../../contracts/storage.ts";
import type { Vm } from "../../contracts/vm.ts";
import { abortable, cancelled, withDeadline } from "../../lib/async.ts";
import { SHARE_PORT_NAME } from "../../protocol/guest/messages.ts";
import type { GuestLink } from "../guest/link.ts";
import type { HeldResources } from "../resources/held.ts";
import type { HostResource } from "../resources/kinds/kinds.ts";
import { unlessGone } from "../unless-gone.ts";
import type { VmPlace } from "./place.ts";

/** What a share needs of the host. */
export interface SharePorts {
  readonly files: Pick<HostFiles, "makeDirectory">;
  readonly fileServers: FileServers;
  readonly deadlines: Pick<Deadlines, "share" | "guestRequest">;
}

/** What a share needs of its guest. */
interface Owner {
  readonly id: string;
  readonly vm: Vm;
  readonly place: VmPlace;
  readonly groups: readonly string[];
  readonly resources: HeldResources;
  readonly liveLink: Pick<GuestLink, "request">;
  readonly logger: Logger;
}

const DIRECTORY_MODE = 0o755;

export class GuestShare {
  private directory: Promise<void> | undefined;
  private served: Promise<void> | undefined;

  constructor(private readonly owner: Owner) {}

  /** Whether the guest has it, or is getting it. */
  get isServed(): boolean {
    return this.served !== undefined;
  }

  /** Makes the directory, for what is to be mounted below it. */
  makeDirectory({ files }: Pick<SharePorts, "files">): Promise<void> {
    const { share } = this.owner.place;
    this.directory ??= share.make ? files.makeDirectory(share.directory, DIRECTORY_MODE) : Promise.resolve();
    this.directory.catch(() => {
      this.directory = undefined;
    });
    return this.directory;
  }

  /**
   * Resolves when the guest has mounted the share. What it takes is done once, for all who ask; a failure is forgotten. Who
   * gives up waiting does not stop it for the others.
   */
  serve(ports: SharePorts, signal: AbortSignal): Promise<void> {
    this.served ??= this.start(ports).catch((error: unknown) => {
      this.served = undefined;
      throw error;
    });
    return abortable(this.served, signal, { operation: "serve the share", subject: this.owner.id });
  }

  /** Takes the share away from the guest, and ends the server. */
  async withdraw({ deadlines }: Pick<SharePorts, "deadlines">): Promise<void> {
    const { served, owner } = this;
    if (served === undefined) return;
    await served.catch(() => undefined);
    this.served = undefined;
    await owner.liveLink.request("share.unmount", {}, { deadlineMs: deadlines.guestRequest });
    await owner.vm.detachPort(SHARE_PORT_NAME);
    await this.endServer();
  }

  /** Ends the server, if there is one or is going to be one. The VM has ended. */
  async end(): Promise<void> {
    await this.served?.catch(() => undefined);
    await this.endServer();
  }

  private async endServer(): Promise<void> {
    await this.owner.resources.undo((resource) => this.isServer(resource));
  }

  private async start(ports: SharePorts): Promise<void> {
    const { share } = ports.deadlines;
    const stop = new AbortController();
    const late = () => {
      const reason = `not done within ${share} ms`;
      return blazarError("DeadlineExceeded", "serve the share", reason, { subject: this.owner.id });
    };
    void this.owner.vm.exited.then(() => stop.abort());
    const starting = this.startSteps(ports, stop.signal);
    try {
      await withDeadline(starting, share, late);
    } catch (error) {
      stop.abort();
      await starting.catch(() => undefined);
      await this.giveUp();
      throw error;
    }
  }

  private async startSteps(ports: SharePorts, signal: AbortSignal): Promise<void> {
    const { owner } = this;
    const { vm, place } = owner;
    await this.makeDirectory(ports);
    const id = serverId(owner.id);
    const socket = join(place.directory, "share.sock");
    const { journal } = owner.resources;
    const ref = await journal.intend({ kind: "process", id });
    const identity = await ports.fileServers.start(
      {
        id,
        directory: place.share.directory,
        changes: place.share.make,
        socket,
        user: place.user,
        cgroups: owner.groups,
      },
      signal,
    );
    await journal.amend(ref, { kind: "process", id, ...identity });
    if (signal.aborted) throw cancelled({ operation: "serve the share", subject: owner.id });
    await vm.attachPort({ name: SHARE_PORT_NAME, socket });
    const limits = { deadlineMs: ports.deadlines.guestRequest, signal };
    await owner.liveLink.request("share.mount", { port: SHARE_PORT_NAME }, limits);
  }

  /** Whatever there is of it; a VM that has ended keeps nothing. */
  private async giveUp(): Promise<void> {
    const { vm, logger } = this.owner;
    try {
      await vm.detachPort(SHARE_PORT_NAME).catch(unlessGone);
      await this.endServer();
    } catch (error) {
      logger.warn({ err: error }, "the server of a share that could not be made is not gone yet");
    }
  }

  private isServer(resource: HostResource): boolean {
    return resource.kind === "process" && resource.id === serverId(this.owner.id);
  }
}

/** The keeper's name for the server of a VM. */
function serverId(vmId: string): string {
  return `${vmId}-share`;
}
