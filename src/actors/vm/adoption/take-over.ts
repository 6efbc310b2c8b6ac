/**
 * Takes over the VM of a sandbox that an earlier daemon has left running, in the order VMM → guest → what hangs on them.
 *
 * Facts of the journal say where to look. What the VMM and the guest say is what counts. Whatever belongs to a container that
 * was half made is taken out of the guest, the VM and the host. A failure leaves the VM to its sandbox, which ends it.
 */
import type { AdoptedContainer } from "../../../backends/backend.ts";
import type { Deadlines } from "../../../contracts/deadlines.ts";
import { BlazarError, blazarError } from "../../../contracts/errors.ts";
import type { SandboxHistory } from "../../../contracts/history.ts";
import type { Logger } from "../../../contracts/logger.ts";
import type { AdoptedVm, VmAdoption } from "../../../contracts/vmm.ts";
import { onAbort, withDeadline, within } from "../../../lib/async.ts";
import type { TextCodec } from "../../../protocol/wire/json.ts";
import { GuestLink, type GuestTraffic } from "../../guest/link.ts";
import type { InsideFact, VmFact } from "../../resources/facts.ts";
import type { HeldResources } from "../../resources/held.ts";
import type { HostResource } from "../../resources/kinds/kinds.ts";
import { unlessGone } from "../../unless-gone.ts";
import type { SharePorts } from "../guest-share.ts";
import { GuestVm, PREPARED_DISK, type PreparedDisk, preparedDiskPath } from "../guest-vm.ts";
import type { Shares, VmPlace } from "../place.ts";
import type { VmUsers } from "../users.ts";
import type { VolumePorts } from "../volumes/held-volume.ts";
import { exited, goneVm } from "./gone-vm.ts";
import { VmFacts } from "./vm-facts.ts";

export interface TakeOverPorts extends Omit<SharePorts, "deadlines">, Omit<VolumePorts, "deadlines"> {
  readonly adoptVm: (adoption: VmAdoption, signal: AbortSignal) => Promise<AdoptedVm>;
  readonly deadlines: SharePorts["deadlines"] &
    VolumePorts["deadlines"] &
    Pick<Deadlines, "takeOver" | "takeOverTry">;
  readonly users: VmUsers | undefined;
  readonly templateDisk: string | undefined;
  readonly scratchDirectory: string;
  readonly session: string;
  readonly text: TextCodec;
  readonly traffic?: GuestTraffic;
  readonly randomHex: (bytes: number) => string;
}

/** Whose VM it is. */
export interface TakeOverOwner {
  readonly id: string;
  readonly resources: HeldResources;
  readonly logger: Logger;
  readonly history: SandboxHistory;
  /** `cgroup.procs` files that the VMM is in. */
  readonly groups: readonly string[];
  readonly shares: Shares;
}

const PREFIX_BYTES = 2;
/** The part of the take-over's deadline that undoing something half made may take. */
const PATIENCE = 0.25;

export class TakeOver {
  private readonly facts: VmFacts;
  private readonly inside = new Map<string, InsideFact>();
  /** Ids of the disks that the VM has. */
  private disks: ReadonlySet<string> = new Set();
  /** Its slots that show an image. */
  private slots: readonly string[] = [];
  /** The guest has nothing any more that was half made. */
  private guestIsClear = true;

  /** @param known ids of the containers that are taken over */
  constructor(
    facts: ReadonlyMap<string, unknown>,
    private readonly known: ReadonlySet<string>,
    private readonly owner: TakeOverOwner,
    private readonly ports: TakeOverPorts,
  ) {
    this.facts = new VmFacts(facts);
    for (const id of known) {
      const fact = this.facts.inside(id);
      if (fact !== undefined) this.inside.set(id, fact);
    }
  }

  /** What a container has of the VM, if that is known. */
  insideOf(container: string): InsideFact | undefined {
    return this.inside.get(container);
  }

  /** Whether the VM has a disk of this serial number. */
  has(disk: string): boolean {
    return this.disks.has(disk);
  }

  /** Claims the VM's user, whatever becomes of the VM: something may still run as it. */
  claimUser(): VmPlace["user"] {
    const user = this.facts.vm?.user;
    if (user !== undefined) this.ports.users?.claim(user);
    return user;
  }

  /** Stands for the VM where it could not be taken over. */
  lost(): GuestVm {
    const { id, resources, logger, shares } = this.owner;
    const fact = this.facts.vm;
    const place = fact === undefined ? { directory: "", shares, user: undefined } : placeOf(fact, shares);
    const shape = fact?.shape ?? { vcpus: 0, memoryBytes: 0, nics: 0 };
    const vm = goneVm(fact?.id ?? id);
    const what = { vm, shape, source: fact?.source ?? "boot", template: fact?.template, place } as const;
    return new GuestVm({ ...what, disk: undefined, resources, logger, users: undefined });
  }

  /** The VMM answers; its guest is as it was. Throws VmmExited if there is none any more. */
  async reachVmm(signal: AbortSignal): Promise<GuestVm> {
    const { vm: fact } = this.facts;
    if (fact === undefined) throw exited(this.owner.id);
    const { id, directory, pid, startTime, nics, source, template, shape } = fact;
    const adoption = { id, directory, identity: { pid, startTime }, nics };
    const { vm, paused, disks, slots } = await this.ports.adoptVm(adoption, signal);
    this.disks = new Set(disks);
    this.slots = slots;
    const { resources, logger, shares, groups } = this.owner;
    const { users } = this.ports;
    const place = placeOf(fact, shares);
    const prefix = `${this.ports.randomHex(PREFIX_BYTES)}-`;
    const what = { vm, shape, source, template, place, disk: this.preparedDisk(id), prefix };
    const guest = new GuestVm({ ...what, resources, logger, users });
    guest.belongTo(this.owner.id, resources, logger);
    guest.groups = groups;
    guest.imageAhead = fact.image;
    // the daemon that paused it can do no more with it
    if (paused) await vm.resume();
    return guest;
  }

  /**
   * The agent answers. Resolves with what the guest has of the known containers; undefined: its agent cannot tell.
   * A connection that brings no answer is made anew, as long as `signal` lets it: nothing that runs is given up for it.
   */
  async reachGuest(vm: GuestVm, signal: AbortSignal): Promise<readonly AdoptedContainer[] | undefined> {
    for (let attempt = 0; ; attempt++) {
      const link = await this.connect(vm, attempt, signal);
      const forget = onAbort(signal, () => link.close());
      try {
        const told = await within(this.inventory(link, signal), this.ports.deadlines.takeOverTry);
        if (told !== undefined) {
          // a container that a damaged line was about is not half made
          this.guestIsClear = this.isComplete && (await this.removeHalfMade(link, told.containers, signal));
          return told.containers?.filter(({ id: container }) => this.known.has(container));
        }
        this.owner.logger.warn({}, "the guest's agent does not answer; the connection to it is made anew");
        link.close();
        await link.ended;
      } finally {
        forget();
      }
    }
  }

  private get isComplete(): boolean {
    return this.owner.resources.isComplete;
  }

  private async connect(vm: GuestVm, attempt: number, signal: AbortSignal): Promise<GuestLink> {
    const { text, traffic } = this.ports;
    // a link that is made anew counts its requests anew, as another life of the daemon does
    const session = attempt === 0 ? this.ports.session : `${this.ports.session}-${attempt}`;
    const { id, logger, history } = this.owner;
    const mark = this.facts.vm?.mark;
    const bytes = await vm.vm.connectAgent(signal);
    const link = new GuestLink(bytes, { sandboxId: id, session, text, logger, traffic, history, mark });
    vm.link = link;
    return link;
  }

  /** Shares, images and volumes are there again for containers to come, and those that nobody uses any more are not. */
  async takeUpWhatHangsOn(vm: GuestVm): Promise<void> {
    const { ports } = this;
    await Promise.all([
      vm.shares.layers.adopt(this.facts.share("layers"), ports),
      vm.shares.volumes.adopt(this.facts.share("volumes"), ports),
    ]);
    if (vm.imageAhead !== undefined) vm.images.adopt(vm.imageAhead);
    for (const { images } of this.inside.values()) for (const image of images) vm.images.adopt(image);
    await vm.volumes.adopt(this.facts.volumes, this.volumeUsers(), ports);
    await this.undoHalfMade(vm);
    vm.record();
  }

  private async inventory(
    link: GuestLink,
    signal: AbortSignal,
  ): Promise<{ readonly containers: readonly AdoptedContainer[] | undefined }> {
    await link.hello;
    const limits = { deadlineMs: this.ports.deadlines.guestRequest, signal };
    try {
      return await link.request("sandbox.inventory", {}, limits);
    } catch (error) {
      if (error instanceof BlazarError && error.code === "Unimplemented") return { containers: undefined };
      throw error;
    }
  }

  private removeHalfMade(
    link: GuestLink,
    found: readonly AdoptedContainer[] | undefined,
    signal: AbortSignal,
  ): Promise<boolean> {
    const others = (found ?? []).filter(({ id }) => !this.known.has(id));
    const limits = { deadlineMs: this.patienceMs, signal };
    return this.attempt(others.map(({ id }) => link.request("container.delete", { id }, limits)));
  }

  /** The pod's other containers run on without it: false, and told, if one of them fails or takes too long. */
  private async attempt(undoing: readonly Promise<unknown>[]): Promise<boolean> {
    const late = () => blazarError("DeadlineExceeded", "undo what was half made", "it takes too long");
    const outcomes = await Promise.allSettled(
      undoing.map((each) => withDeadline(each, this.patienceMs, late).catch(unlessGone)),
    );
    const failed = outcomes.find((each) => each.status === "rejected");
    if (failed !== undefined)
      this.owner.logger.warn(
        { err: failed.reason },
        "what an earlier daemon had half made of a container stays until the sandbox ends",
      );
    return failed === undefined;
  }

  private get patienceMs(): number {
    return this.ports.deadlines.takeOver * PATIENCE;
  }

  /** What the journal has of containers that are not known: out of the VM, then off the host. */
  private async undoHalfMade(vm: GuestVm): Promise<void> {
    const { resources } = this.owner;
    const prepared = this.preparedDisk(vm.id);
    // it may have been a container's by then, whatever the journal says
    const path = prepared === undefined ? preparedDiskPath(this.ports.scratchDirectory, vm.id) : undefined;
    if (this.guestIsClear && (await this.takeOut(vm, prepared?.id))) {
      const isLoose = (resource: HostResource) =>
        this.isHalfMade(resource) || (resource.kind === "file" && resource.path === path);
      await this.attempt([resources.undo(isLoose)]);
    }
    if (!this.isComplete) return;
    for (const id of this.facts.containers)
      if (!this.known.has(id)) void resources.fact(`inside/${id}`, null);
  }

  /**
   * Takes disks and images out of the VM that no container has. The VMM keeps other disks from the same files as long as it has
   * them. False: some are still there, which ends no pod.
   */
  private async takeOut(vm: GuestVm, prepared: string | undefined): Promise<boolean> {
    // of a container that the facts say nothing of, nobody knows which it has
    if (this.inside.size < this.known.size) return true;
    const used = new Set([...this.inside.values()].map(({ disk }) => disk).concat(prepared ?? []));
    const loose = [...this.disks].filter((disk) => !used.has(disk) && !this.isImage(disk));
    const idle = this.slots.filter((slot) => !this.isImage(slot));
    return this.attempt([
      ...loose.map((disk) => vm.vm.detachDisk(disk)),
      ...idle.map((slot) => vm.vm.detachImage(slot)),
    ]);
  }

  /**
   * Not its stdio: containerd has the other ends of the FIFOs open, and would read their end. The call that makes the container
   * comes again, and takes them up as they are. If it does not, they stay until the sandbox ends.
   */
  private isHalfMade(resource: HostResource): boolean {
    return resource.kind === "rootfs" && !this.known.has(resource.plan.containerId);
  }

  private isImage(disk: string): boolean {
    const all = [this.facts.vm?.image, ...[...this.inside.values()].flatMap(({ images }) => images)];
    return all.some((image) => image?.serial === disk);
  }

  private volumeUsers(): ReadonlyMap<string, number> | undefined {
    // of a container that the facts say nothing of, nobody knows which it uses
    if (this.inside.size < this.known.size) return undefined;
    const users = new Map<string, number>();
    for (const { volumes } of this.inside.values())
      for (const name of volumes) users.set(name, (users.get(name) ?? 0) + 1);
    return users;
  }

  /** A disk that no container has been given yet. A container that was half made may have been. */
  private preparedDisk(vmId: string): PreparedDisk | undefined {
    const { outstanding } = this.owner.resources;
    if (outstanding.some((resource) => this.isHalfMade(resource))) return undefined;
    const path = preparedDiskPath(this.ports.scratchDirectory, vmId);
    const isHeld = outstanding.some((resource) => resource.kind === "file" && resource.path === path);
    const used = new Set([...this.inside.values()].map(({ disk }) => disk));
    const id = [this.ports.templateDisk, PREPARED_DISK].find(
      (each) => each !== undefined && this.disks.has(each) && !used.has(each),
    );
    return id === undefined || !isHeld ? undefined : { id, path };
  }
}

function placeOf(fact: VmFact, shares: Shares): VmPlace {
  const { directory, user, shareDirectory, volumesDirectory } = fact;
  return {
    directory,
    user,
    shares: {
      layers: { directory: shareDirectory, make: shares.layers.make },
      volumes: { directory: volumesDirectory, make: shares.volumes.make },
    },
  };
}
