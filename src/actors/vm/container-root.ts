/**
 * A container's root: planned, journaled, made on the host, and given to the VM as disks.
 *
 * The order is plan → intent → disk and image in the VM; the undoing is the guest's part (not here) → disk and image out of
 * the VM → release on the host → undone. A container whose image cannot be used gets its layers by the share, once.
 */
import { BlazarError, blazarError, type ErrorCode } from "../../contracts/errors.ts";
import type { Histories } from "../../contracts/history.ts";
import type { UserNamespaceMaps } from "../../contracts/id-maps.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { RootfsPlan, RootfsRequest, RootfsStore } from "../../contracts/storage.ts";
import type { RootfsMount } from "../../contracts/task.ts";
import type { GuestRootfs } from "../../protocol/guest/messages.ts";
import { asStep } from "../as-step.ts";
import type { InsideFact } from "../resources/facts.ts";
import { unlessGone } from "../unless-gone.ts";
import type { SharePorts } from "./guest-share.ts";
import type { GuestVm } from "./guest-vm.ts";
import type { PlannedImage, UsedImage } from "./vm-images.ts";

export interface ContainerRootPorts extends SharePorts {
  readonly histories: Histories;
  readonly rootfs: RootfsStore;
  /** Absolute; for writable layers whose snapshot has no place for them. */
  readonly scratchDirectory: string;
}

/** What can be wrong with an image and not with the share, by who says so. */
const IMAGE_TROUBLE = {
  vm: ["QmpFailed", "StorageFailed"],
  guest: ["ImageBroken"],
} as const satisfies Record<string, readonly ErrorCode[]>;

export class ContainerRoot {
  /** The disk that it writes to, by its serial. */
  diskId: string;
  private made: { readonly plan: RootfsPlan; readonly ref: number } | undefined;
  private diskAttached = false;
  private userNamespace: UserNamespaceMaps | undefined;
  /** The images that this container uses, the topmost first. */
  private images: (UsedImage & { readonly key: string })[] = [];
  private attaching: Promise<void> = Promise.resolve();

  constructor(
    private readonly vm: GuestVm,
    private readonly ports: ContainerRootPorts,
    private readonly id: string,
    diskId: string,
    private readonly logger: Logger,
  ) {
    this.diskId = diskId;
  }

  /**
   * Takes up what an earlier daemon has made.
   * @param inside what it has of the VM, if that is known: its images are counted already
   * @param attached whether the VM has its disk
   */
  adopt(inside: InsideFact | undefined, attached: boolean): void {
    const { journal } = this.vm.resources;
    const found = journal
      .outstanding()
      .findLast(({ resource }) => resource.kind === "rootfs" && resource.plan.containerId === this.id);
    if (found?.resource.kind === "rootfs") this.made = { plan: found.resource.plan, ref: found.ref };
    this.diskAttached = attached;
    this.images = (inside?.images ?? []).map((image) => ({ ...image, shown: Promise.resolve() }));
  }

  /** What a later daemon has to know of it. */
  get inside(): Pick<InsideFact, "disk" | "images"> {
    return { disk: this.diskId, images: this.images.map(({ key, serial }) => ({ key, serial })) };
  }

  /** Makes everything outside of the guest; `passed` is told of each step. What a failure leaves is for {@link release}. */
  async make(
    mounts: readonly RootfsMount[],
    passed: (step: string) => void,
    signal: AbortSignal,
    userNamespace?: UserNamespaceMaps,
  ): Promise<void> {
    const { vm, ports } = this;
    this.userNamespace = userNamespace;
    const plan = await this.plan(mounts, false, signal);
    passed("plan");
    this.attaching = this.attachImages(plan);
    this.attaching.catch(() => undefined);
    const serving = this.serveShare(plan, signal);
    serving.catch(() => undefined);
    const prepared = await vm.takePreparedDisk(plan, ports.rootfs);
    if (needsShare(plan)) await vm.shares.layers.makeDirectory(ports);
    // a prepared disk is in its place already
    if (prepared === undefined) await ports.rootfs.apply(plan, signal);
    else if (needsShare(plan)) await ports.rootfs.apply(plan, signal, "lower");
    passed("storage");
    signal.throwIfAborted();
    this.diskAttached = true;
    const { path, readonly } = plan.disk;
    if (prepared !== undefined) this.diskId = prepared.id;
    else await this.told("vmm attach disk", () => vm.vm.attachDisk({ id: this.diskId, path, readonly }));
    passed("disk");
    await this.attaching.catch((error: unknown) => this.useShare(mounts, error, signal, "vm"));
    passed("image");
    await serving;
    passed("share");
  }

  /** The image of the store that it is on; undefined = there is none, or it could not be used. */
  get storedImage(): PlannedImage | undefined {
    const lower = this.made?.plan.lower;
    return lower?.kind === "image" ? lower : undefined;
  }

  /** Whether the guest has to map the layers' ids. */
  get idmapped(): boolean {
    return this.made?.plan.idmapped === true;
  }

  /** What the guest is told. Throws IllegalTransition before {@link make}. */
  guestRootfs(readonly: boolean): GuestRootfs {
    if (this.made === undefined) {
      const reason = "it has not been made";
      throw blazarError("IllegalTransition", "use the container's root", reason, { subject: this.id });
    }
    const { guest, disk } = this.made.plan;
    return {
      kind: guest.kind,
      path: guest.path,
      imageSerials: this.images.map(({ serial }) => serial),
      diskSerial: this.diskId,
      filesystem: disk.filesystem,
      readonly: guest.readonly || readonly,
    };
  }

  /**
   * Has the layers go by the share if `error` can be the image's fault; otherwise throws it. Tells of it. A guest says
   * so before it has opened the container's streams: they can be opened once.
   */
  async useShare(
    mounts: readonly RootfsMount[],
    error: unknown,
    signal: AbortSignal,
    from: keyof typeof IMAGE_TROUBLE = "guest",
  ): Promise<void> {
    const { made, ports, vm } = this;
    // a guest that has waited for an image in vain does not know why
    const notShown = await this.notShown();
    const err = notShown ?? error;
    const codes: readonly ErrorCode[] = IMAGE_TROUBLE[notShown === undefined ? from : "vm"];
    const trouble = err instanceof BlazarError && codes.includes(err.code);
    if (!trouble || signal.aborted || made === undefined || imagesOf(made.plan).length === 0) throw error;
    const [{ key } = { key: "" }] = imagesOf(made.plan);
    this.logger.warn({ err, image: key }, "an image cannot be used: the container's layers go by the share");
    await this.detachImages();
    const plan = await this.plan(mounts, true, signal);
    await ports.rootfs.releaseImage?.(made.plan);
    await this.undone(made.ref);
    await vm.shares.layers.makeDirectory(ports);
    await ports.rootfs.apply(plan, signal, "lower");
    await this.serveShare(plan, signal);
  }

  /** Takes disk and image out of the VM, once the guest has let go of them or is lost. */
  async unplug(): Promise<void> {
    await this.attaching.catch(() => undefined);
    // a guest that is lost keeps its disk until its VM ends
    if (this.diskAttached && this.vm.alive) await this.vm.vm.detachDisk(this.diskId).catch(unlessGone);
    this.diskAttached = false;
    await this.detachImages();
  }

  /** Undoes what there is on the host. Idempotent. */
  async release(): Promise<void> {
    const { made } = this;
    if (made === undefined) return;
    await this.ports.rootfs.release(made.plan);
    await this.undone(made.ref);
    this.made = undefined;
  }

  private async plan(
    mounts: readonly RootfsMount[],
    withoutImage: boolean,
    signal: AbortSignal,
  ): Promise<RootfsPlan> {
    const { vm, ports, id } = this;
    const { shares, user: owner } = vm.place;
    const { scratchDirectory } = ports;
    const shareDirectory = shares.layers.directory;
    const request: RootfsRequest = {
      containerId: id,
      mounts,
      shareDirectory,
      scratchDirectory,
      owner,
      withoutImage,
      userNamespace: this.userNamespace,
    };
    const plan = await ports.rootfs.plan(request, signal);
    try {
      this.made = { plan, ref: await vm.resources.journal.intend({ kind: "rootfs", plan }) };
    } catch (error) {
      // a lease that no journal names would be nobody's
      await ports.rootfs.releaseImage?.(plan);
      throw error;
    }
    return plan;
  }

  private async serveShare(plan: RootfsPlan, signal: AbortSignal): Promise<void> {
    if (needsShare(plan)) await this.vm.shares.layers.serve(this.ports, signal);
  }

  private async attachImages(plan: RootfsPlan): Promise<void> {
    for (const image of imagesOf(plan)) {
      const used = await this.told("vmm attach image", () => this.vm.images.use(image));
      this.images.push({ key: image.key, ...used });
    }
  }

  private told<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
    return asStep(this.ports.histories.of(this.vm.ownerId), name, work, `container/${this.id}`);
  }

  /** Why the VM does not show one of the images; undefined if it shows all. */
  private async notShown(): Promise<unknown> {
    const all = await Promise.allSettled(this.images.map(({ shown }) => shown));
    return all.find((each) => each.status === "rejected")?.reason;
  }

  private async detachImages(): Promise<void> {
    for (let image = this.images.at(-1); image !== undefined; image = this.images.at(-1)) {
      // one that was never shown is not counted
      const isShown = await image.shown.then(
        () => true,
        () => false,
      );
      if (isShown) await this.vm.images.release(image.key).catch(unlessGone);
      this.images.pop();
    }
  }

  private async undone(ref: number): Promise<void> {
    const { resources } = this.vm;
    if (resources.isOpen) await resources.journal.undone(ref);
  }
}

/** Only roots that are files of the host need the share. */
function needsShare({ guest }: RootfsPlan): boolean {
  return guest.kind === "layers" || guest.kind === "archive";
}

/** The disks with a plan's layers, the topmost first. */
function imagesOf({ lower }: RootfsPlan): readonly PlannedImage[] {
  if (lower?.kind === "image") return [lower];
  return lower?.kind === "disks" ? lower.paths.map((path) => ({ key: path, path })) : [];
}
