/**
 * A running guest: its VM, the link to its agent, and what it holds on the host.
 *
 * One object for a pod's VM, a warm one and an original. A warm VM is adopted by handing over this object: its resources
 * move to the sandbox's journal, everything else stays as it is. It decides nothing about its own life.
 */
import { join } from "node:path";
import { blazarError } from "../../contracts/errors.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { NetworkAhead } from "../../contracts/network.ts";
import type { ShareKind } from "../../contracts/share-kind.ts";
import type { RootfsPlan, RootfsStore } from "../../contracts/storage.ts";
import type { Vm, VmShape, VmSource } from "../../contracts/vm.ts";
import type { GuestLink } from "../guest/link.ts";
import { type PreparationPorts, prepareDisk } from "../guest/preparation.ts";
import type { AttachedImage } from "../resources/facts.ts";
import type { HeldResources } from "../resources/held.ts";
import type { HostResource } from "../resources/kinds/kinds.ts";
import { GuestShare } from "./guest-share.ts";
import type { VmPlace } from "./place.ts";
import type { VmUsers } from "./users.ts";
import { VmImages } from "./vm-images.ts";
import { GuestVolumes } from "./volumes/guest-volumes.ts";

/** A disk in a VM that no container uses yet; plugged in, and mounted by the guest unless that failed. */
export interface PreparedDisk {
  /** Its serial number in the guest. */
  readonly id: string;
  readonly path: string;
}

export interface GuestVmOptions {
  readonly vm: Vm;
  readonly shape: VmShape;
  readonly source: VmSource["kind"];
  /** Key of the template, unless it has booted. */
  readonly template: string | undefined;
  readonly place: VmPlace;
  readonly disk: PreparedDisk | undefined;
  readonly resources: HeldResources;
  readonly logger: Logger;
  /** An earlier daemon has started it: names that this one gives things in it begin with this. Default: "". */
  readonly prefix?: string;
  /** Where its user comes from; undefined where VMMs run as the daemon's own. */
  readonly users: Pick<VmUsers, "release"> | undefined;
}

/** The id of a disk that is prepared in a VM that has booted; a clone's comes with its template. */
export const PREPARED_DISK = "prepared";

export class GuestVm {
  readonly vm: Vm;
  readonly shape: VmShape;
  readonly source: VmSource["kind"];
  readonly template: string | undefined;
  readonly place: VmPlace;
  /** What it shows of the host's files to its guest, once that is needed. */
  readonly shares: { readonly [Kind in ShareKind]: GuestShare } = {
    layers: new GuestShare(this, "layers"),
    volumes: new GuestShare(this, "volumes"),
  };
  /** What its containers bind of the host, each once. */
  readonly volumes: GuestVolumes;
  link: GuestLink | undefined;
  /** What it is connected to while it is warm, and its guest has been told; the pod's to take or to leave. */
  networkAhead: NetworkAhead | undefined;
  /** The image that it has before its first container. */
  imageAhead: AttachedImage | undefined;
  /** `cgroup.procs` files of the groups that it belongs into. */
  groups: readonly string[] = [];
  /** Resolves when the guest's clock is as right as it gets; no container runs before that. Never rejects. */
  clock: Promise<void> = Promise.resolve();
  /** Those that containers use, and the one that is there ahead of them. */
  readonly images: VmImages;
  private readonly users: Pick<VmUsers, "release"> | undefined;
  private disk: PreparedDisk | undefined;
  private held: HeldResources;
  private owner: { readonly id: string; readonly logger: Logger };

  constructor(options: GuestVmOptions) {
    const { prefix = "" } = options;
    this.vm = options.vm;
    this.images = new VmImages(options.vm, `image-${prefix}`);
    this.volumes = new GuestVolumes(this, `v${prefix}`);
    this.shape = options.shape;
    this.source = options.source;
    this.template = options.template;
    this.place = options.place;
    this.users = options.users;
    this.disk = options.disk;
    this.held = options.resources;
    this.owner = { id: options.vm.id, logger: options.logger };
  }

  /** The keeper's name for the VMM; an adopted VM keeps the one it had. */
  get id(): string {
    return this.vm.id;
  }

  /** Whose it is: the sandbox's id, or its own while it is warm. */
  get ownerId(): string {
    return this.owner.id;
  }

  get logger(): Logger {
    return this.owner.logger;
  }

  /** What it holds on the host; the owner's, once it has been adopted. */
  get resources(): HeldResources {
    return this.held;
  }

  /** The link to the agent. Throws GuestLost. */
  get liveLink(): GuestLink {
    if (this.link?.alive) return this.link;
    throw blazarError("GuestLost", "reach the guest", "there is no link to it", { subject: this.ownerId });
  }

  get alive(): boolean {
    return this.link?.alive === true;
  }

  /** It is this sandbox's from now on. Returns what it held before, which is to be handed over. */
  belongTo(id: string, resources: HeldResources, logger: Logger): HeldResources {
    const before = this.held;
    this.held = resources;
    this.owner = { id, logger };
    this.link?.belongsTo(id, logger);
    return before;
  }

  /** Writes into the journal what a later daemon needs to take it over. */
  record(): void {
    const { id, vm, source, template, shape, imageAhead: image } = this;
    const mark = this.link?.mark;
    const { directory, shares, user } = this.place;
    const place = {
      directory,
      shareDirectory: shares.layers.directory,
      volumesDirectory: shares.volumes.directory,
      user,
    };
    void this.held.fact("vm", {
      id,
      ...vm.identity,
      source,
      template,
      shape,
      nics: vm.nics,
      image,
      ...place,
      mark,
    });
  }

  /** Plugs in an empty disk and has the guest mount it, which takes an emulated one tens of milliseconds. */
  async plugPreparedDisk(
    ports: PreparationPorts & {
      readonly rootfs: Pick<RootfsStore, "prepareDisk">;
      readonly scratchDirectory: string;
    },
    signal: AbortSignal,
  ): Promise<void> {
    const { rootfs, scratchDirectory } = ports;
    // a clone has one from its template
    if (this.disk !== undefined || rootfs.prepareDisk === undefined) return;
    const disk = { id: PREPARED_DISK, path: preparedDiskPath(scratchDirectory, this.id) };
    await this.held.make({ kind: "file", path: disk.path }, async () =>
      rootfs.prepareDisk?.(disk.path, this.place.user),
    );
    await this.vm.attachDisk({ ...disk, readonly: false });
    this.disk = disk;
    await prepareDisk(this.liveLink, disk.id, { ...ports, logger: this.logger }, signal);
  }

  /** Gives the prepared disk to a container, once, if the disk can be where the plan wants it. */
  async takePreparedDisk(
    plan: RootfsPlan,
    rootfs: Pick<RootfsStore, "placeDisk">,
  ): Promise<PreparedDisk | undefined> {
    const { disk } = this;
    // whoever asks meanwhile plugs in a disk of its own
    this.disk = undefined;
    if (disk === undefined) return undefined;
    if (!(await rootfs.placeDisk?.(plan, disk.path))) {
      this.disk = disk;
      return undefined;
    }
    await this.held.gone((resource) => resource.kind === "file" && resource.path === disk.path);
    return disk;
  }

  /** Ends the VMM, which is reaped then, and lets go of the guest. Throws if it cannot be ended. */
  async end(): Promise<void> {
    await this.vm.kill();
    this.link?.close();
    this.volumes.end();
    await this.held.gone((resource) => resource.kind === "process" && resource.id === this.id);
    const ended = await Promise.allSettled(Object.values(this.shares).map((share) => share.end()));
    for (const each of ended) if (each.status === "rejected") throw each.reason;
    void this.held.fact("vm", null);
  }

  /** Ends a VM that no sandbox owns, with everything it holds. Throws what could not be undone; may be called again. */
  async destroy(): Promise<void> {
    if (!this.held.isOpen) return;
    await this.end();
    await this.held.undo(() => true);
    await this.held.close();
    if (this.place.user !== undefined) this.users?.release(this.place.user);
  }
}

/** Where the disk of a VM is that has no container yet. */
export function preparedDiskPath(scratchDirectory: string, vmId: string): string {
  return join(scratchDirectory, `${vmId}.prepared`);
}

/** A VMM that was killed is reaped: then there is nothing to look for. */
export function isProcess({ kind }: HostResource): boolean {
  return kind === "process";
}
