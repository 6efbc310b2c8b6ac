/**
 * A share of one guest: a directory that a file server serves to it, over a port that is plugged in for it. A guest has
 * one of each kind at most: layers, and volumes.
 *
 * There is none until a container needs it. It is made once, whatever asks, and ends with the VM, or before if nobody needs
 * it any more. The server is in the journal from before its start until it has ended. One that dies takes the files from the
 * containers that have them; the next container that needs the share gets another one.
 */
import { join } from "node:path";
import type { Deadlines } from "../../contracts/deadlines.ts";
import { blazarError } from "../../contracts/errors.ts";
import type { FileServers } from "../../contracts/file-servers.ts";
import { sameMaps, type UserNamespaceMaps } from "../../contracts/id-maps.ts";
import type { ProcessExit, ProcessIdentity } from "../../contracts/keeper.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { ShareKind } from "../../contracts/share-kind.ts";
import type { HostFiles } from "../../contracts/storage.ts";
import type { Vm } from "../../contracts/vm.ts";
import { abortable, cancelled, withDeadline, within } from "../../lib/async.ts";
import { endOf } from "../../lib/signals.ts";
import { SHARE_PORTS } from "../../protocol/guest/messages.ts";
import type { GuestLink } from "../guest/link.ts";
import type { ShareFact } from "../resources/facts.ts";
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
/** A server ends when its VM does, and may be reaped before it. */
const VM_ENDS_WITHIN_MS = 1_000;

export class GuestShare {
  private started: Promise<void> | undefined;
  private served: Promise<void> | undefined;
  /** The server that is to run; another object for each. */
  private server: object | undefined;
  /** Tells the pid of the server that runs if it is stopped. */
  private looksStopped: () => Promise<number | undefined> = () => Promise.resolve(undefined);
  /** What the server is told of its files' owners: a choice that is made once. */
  private owners: { readonly maps: UserNamespaceMaps | undefined } | undefined;
  /** Resolves when nothing is left of a server that has died. */
  private cleared: Promise<void> = Promise.resolve();

  constructor(
    private readonly owner: Owner,
    private readonly kind: ShareKind,
  ) {}

  /** Has the server map ids like this from its start; false if it was to do otherwise before. */
  maps(maps: UserNamespaceMaps | undefined): boolean {
    this.owners ??= { maps };
    const { maps: own } = this.owners;
    return own === undefined || maps === undefined ? own === maps : sameMaps(own, maps);
  }

  /** Takes up what an earlier daemon has left. @param fact says that the guest has mounted it */
  async adopt(fact: ShareFact | undefined, ports: SharePorts): Promise<void> {
    const server = this.owner.resources.outstanding.find((resource) => this.isServer(resource));
    if (server?.kind !== "process") return;
    const { pid, startTime } = server;
    if (fact === undefined || pid === undefined || startTime === undefined) {
      const limits = { deadlineMs: ports.deadlines.guestRequest };
      await this.owner.liveLink.request("share.unmount", { share: this.kind }, limits).catch(() => undefined);
      return this.giveUp();
    }
    this.owners = { maps: fact.maps };
    this.started = Promise.resolve();
    this.served = this.started;
    this.runs({ pid, startTime }, ports);
  }

  /**
   * Makes the directory and starts its server: what is mounted below it after that is served. What was mounted before would
   * be hidden. Done once, for all who ask; a failure is forgotten.
   */
  makeDirectory(ports: SharePorts): Promise<void> {
    this.started ??= this.startServer(ports).catch((error: unknown) => {
      this.started = undefined;
      throw error;
    });
    return this.started;
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

  /** The pid of the server, if somebody has stopped it: who needs files of it waits in vain. */
  stoppedServer(): Promise<number | undefined> {
    return this.server === undefined ? Promise.resolve(undefined) : this.looksStopped();
  }

  /** Takes the share away from the guest, and ends the server. */
  async withdraw({ deadlines }: Pick<SharePorts, "deadlines">): Promise<void> {
    await this.cleared;
    const { served, owner, kind } = this;
    if (served === undefined) return;
    await served.catch(() => undefined);
    this.served = undefined;
    this.started = undefined;
    await owner.liveLink.request("share.unmount", { share: kind }, { deadlineMs: deadlines.guestRequest });
    await owner.vm.detachPort(this.port);
    await this.endServer();
  }

  /** Ends the server, if there is one or is going to be one. The VM has ended. */
  async end(): Promise<void> {
    await this.cleared;
    await this.started?.catch(() => undefined);
    await this.served?.catch(() => undefined);
    await this.endServer();
  }

  private async endServer(): Promise<void> {
    if (this.server !== undefined) void this.owner.resources.fact(`share/${this.kind}`, null);
    this.server = undefined;
    await this.owner.resources.undo((resource) => this.isServer(resource));
  }

  private async start(ports: SharePorts): Promise<void> {
    try {
      await this.inTime(ports, (signal) => this.startSteps(ports, signal));
    } catch (error) {
      this.started = undefined;
      await this.giveUp();
      throw error;
    }
  }

  private async startSteps(ports: SharePorts, signal: AbortSignal): Promise<void> {
    const { vm, id, liveLink } = this.owner;
    await this.makeDirectory(ports);
    if (signal.aborted) throw cancelled({ operation: "serve the share", subject: id });
    await vm.attachPort({ name: this.port, socket: this.socket });
    const limits = { deadlineMs: ports.deadlines.guestRequest, signal };
    await liveLink.request("share.mount", { share: this.kind }, limits);
    void this.owner.resources.fact(`share/${this.kind}`, { maps: this.owners?.maps });
  }

  private startServer(ports: SharePorts): Promise<void> {
    return this.inTime(ports, async (signal) => {
      const { place, groups: cgroups, resources } = this.owner;
      const { kind, serverId: id } = this;
      const { directory, make: changes } = place.shares[kind];
      if (changes) await ports.files.makeDirectory(directory, DIRECTORY_MODE);
      const { journal } = resources;
      await this.cleared;
      const ref = await journal.intend({ kind: "process", id });
      try {
        const maps = this.owners?.maps;
        const spec = { id, kind, directory, changes, maps, socket: this.socket, user: place.user, cgroups };
        const identity = await ports.fileServers.start(spec, signal);
        await journal.amend(ref, { kind: "process", id, ...identity });
        this.runs(identity, ports);
      } catch (error) {
        // nothing is left of a start that failed
        await journal.undone(ref);
        throw error;
      }
    });
  }

  private runs(identity: ProcessIdentity, { fileServers }: SharePorts): void {
    const server = {};
    this.server = server;
    this.looksStopped = async () => ((await fileServers.isStopped(identity)) ? identity.pid : undefined);
    // a keeper that is lost is told of elsewhere
    fileServers.exited(this.serverId).then(
      (exit) => this.died(server, exit),
      () => undefined,
    );
  }

  /** What is being made with it fails by itself, and is cleared up then. */
  private async died(server: object, exit: ProcessExit): Promise<void> {
    await this.served?.catch(() => undefined);
    if (this.server !== server) return;
    this.served = undefined;
    this.started = undefined;
    this.cleared = this.giveUp();
    const { vm, logger } = this.owner;
    const ended = vm.exited.then(() => true);
    if ((await within(ended, VM_ENDS_WITHIN_MS)) === true) return;
    logger.error(
      { server: this.serverId, ended: endOf(exit) },
      "a file server of a VM has died: containers that have files of the host from it cannot use them any more",
    );
  }

  /** Runs steps under the share's deadline, and calls them off when the VM ends. Waits for steps that are called off. */
  private async inTime(
    { deadlines: { share } }: SharePorts,
    steps: (signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const { id, vm } = this.owner;
    const late = () => {
      const reason = `not done within ${share} ms`;
      return blazarError("DeadlineExceeded", "serve the share", reason, { subject: id });
    };
    const stop = new AbortController();
    void vm.exited.then(() => stop.abort());
    const working = steps(stop.signal);
    try {
      await withDeadline(working, share, late);
    } catch (error) {
      stop.abort();
      await working.catch(() => undefined);
      throw error;
    }
  }

  private get socket(): string {
    return join(this.owner.place.directory, `${this.kind}.sock`);
  }

  /** The port's name. */
  private get port(): string {
    return SHARE_PORTS[this.kind];
  }

  /** The keeper's name for the server. */
  private get serverId(): string {
    return `${this.owner.id}-${this.kind}`;
  }

  /** Whatever there is of it; a VM that has ended keeps nothing. */
  private async giveUp(): Promise<void> {
    const { vm, logger } = this.owner;
    try {
      await vm.detachPort(this.port).catch(unlessGone);
      await this.endServer();
    } catch (error) {
      logger.warn({ err: error }, "the server of a share that could not be made is not gone yet");
    }
  }

  private isServer(resource: HostResource): boolean {
    return resource.kind === "process" && resource.id === this.serverId;
  }
}
