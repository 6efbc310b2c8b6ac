/**
 * The RootfsStore port: plans a container's root from its snapshot; workers make and undo it (docs/storage.md).
 *
 * The layers are an image that the guest mounts. Without one, they are mounted read-only below the sandbox's share. The guest
 * writes to a disk of its own, a copy of an empty ext4 image. The disk is in the snapshot's upperdir, where containerd
 * counts it, or else in the scratch directory.
 * Must not mount anything read-write, and must not touch the files of a layer.
 */
import { link, readdir, stat, unlink } from "node:fs/promises";
import path from "node:path";
import { type BlazarError, blazarError, reasonOf } from "../../contracts/errors.ts";
import type { UserNamespaceMaps } from "../../contracts/id-maps.ts";
import type { ImageStore } from "../../contracts/images.ts";
import type { RootfsLower, RootfsPlan, RootfsRequest, RootfsStore } from "../../contracts/storage.ts";
import { cancelled, throwIfAborted } from "../../lib/async.ts";
import { checkId } from "../../lib/ids.ts";
import type { EmptyImage } from "../../workers/images/disk-image.ts";
import { maskLayer, UPPER_IMAGE } from "../../workers/images/mask-layer.ts";
import { overlayData } from "../../workers/images/overlay-data.ts";
import type { RootfsTasks } from "../../workers/rootfs.worker.ts";
import { erofsDisks } from "./erofs-layers.ts";
import { removeTree } from "./remove-tree.ts";
import { readSnapshot, type Snapshot } from "./snapshot.ts";
import type { TaskRunner } from "./worker-pool.ts";

export interface HostRootfsStoreOptions {
  readonly workers: TaskRunner<RootfsTasks>;
  /** What writable layers start as; `npm run setup` has made it. */
  readonly empty: EmptyImage;
  /** Undefined = all layers go by the share. */
  readonly images?: Pick<ImageStore, "use" | "release" | "prepare"> | undefined;
}

type Layers = Extract<Snapshot, { kind: "layers" }>;

/** Root filesystems on this host. */
export class HostRootfsStore implements RootfsStore {
  private readonly workers: TaskRunner<RootfsTasks>;
  private readonly empty: EmptyImage;
  private readonly images: HostRootfsStoreOptions["images"];

  constructor(options: HostRootfsStoreOptions) {
    this.workers = options.workers;
    this.empty = options.empty;
    this.images = options.images;
  }

  warm(): void {
    if (this.workers.isAwake === true) return;
    // a worker that does not start fails the first task that needs it, with the reason
    this.workers.run("warm", undefined).catch(() => undefined);
  }

  async plan(request: RootfsRequest, signal?: AbortSignal): Promise<RootfsPlan> {
    const { containerId, owner } = request;
    checkId(containerId, "plan the root filesystem");
    const snapshot = readSnapshot(request.mounts);
    if (snapshot.kind === "disk") return planDisk(containerId, snapshot, owner);
    const { upper, readonly, maps } = snapshot;
    refuseOtherMaps(request, maps);
    const lower = await this.lower(request, snapshot, signal);
    const image = upper ?? request.scratchDirectory;
    const name = upper === undefined ? `${containerId}.ext4` : UPPER_IMAGE;
    const kept = upper !== undefined;
    const guest =
      lower.kind === "share"
        ? ({ kind: "layers", path: `${containerId}/rootfs`, readonly } as const)
        : ({ kind: "image", path: "", readonly } as const);
    const disk = { path: path.join(image, name), filesystem: "ext4", owned: true, readonly: false, kept };
    return { containerId, lower, disk, guest, owner, ...(maps === undefined ? {} : { idmapped: true }) };
  }

  async apply(plan: RootfsPlan, signal?: AbortSignal, part: "all" | "lower" = "all"): Promise<void> {
    const what = { operation: "prepare the root filesystem", subject: plan.containerId };
    throwIfAborted(signal, what);
    await this.workers.run("applyRootfs", { plan, empty: this.empty, part });
    if (signal?.aborted !== true) return;
    await this.release(plan);
    throw cancelled(what);
  }

  async prepareDisk(image: string, owner: RootfsPlan["owner"]): Promise<void> {
    await this.workers.run("makeImage", { image, owner, empty: this.empty });
  }

  async placeDisk(plan: RootfsPlan, prepared: string): Promise<boolean> {
    const { disk } = plan;
    // apply uses a file that is already there only where the layer outlives its container
    if (!disk.owned || disk.kept !== true) return false;
    try {
      // not rename(2): link(2) fails if the container has an earlier layer
      await link(prepared, disk.path);
      await unlink(prepared);
      return true;
    } catch {
      return false;
    }
  }

  async releaseImage({ lower, containerId }: RootfsPlan): Promise<void> {
    if (lower?.kind === "image") await this.images?.release(lower.key, containerId);
  }

  async release(plan: RootfsPlan): Promise<void> {
    const { leftover } = await this.workers.run("releaseRootfs", plan);
    if (leftover && plan.lower?.kind === "share") await removeTree(plan.lower.directory);
    await this.releaseImage(plan);
  }

  private async lower(request: RootfsRequest, snapshot: Layers, signal?: AbortSignal): Promise<RootfsLower> {
    const { containerId, shareDirectory, withoutImage } = request;
    const [foreign] = await Promise.all([foreignFiles(snapshot.upper), checkLayers(snapshot.lower)]);
    if (!foreign && withoutImage !== true) {
      const paths = await erofsDisks(snapshot.lower);
      if (paths !== undefined) return { kind: "disks", paths };
      // a share cannot have mapped ids, so the image is waited for
      if (snapshot.maps !== undefined) await this.images?.prepare(snapshot.lower, signal);
      const lease =
        isShared(snapshot) || snapshot.maps !== undefined
          ? await this.images?.use(snapshot.lower, containerId, signal)
          : undefined;
      if (lease !== undefined) return { kind: "image", key: lease.image.key, path: lease.image.path };
    }
    if (snapshot.maps !== undefined) throw withoutMappedIds(request, foreign);
    const directory = path.join(shareDirectory, containerId);
    const layers = stackLayers(snapshot, foreign, directory);
    // too many layers are refused before anything is made
    if (layers.length > 1) overlayData(layers, containerId);
    return { kind: "share", directory, target: path.join(directory, "rootfs"), layers };
  }
}

/**
 * Whether other containers will have the same layers. A writable directory without an upper is a container's own: `native`
 * copies all of an OCI image into it, and nobody else would ever ask for its image.
 */
function isShared({ upper, readonly }: Layers): boolean {
  return upper !== undefined || readonly;
}

/** The snapshot and the spec are made from one configuration; the guest knows the spec's maps only. */
function refuseOtherMaps(
  { containerId, userNamespace }: RootfsRequest,
  maps: UserNamespaceMaps | undefined,
): void {
  if (maps === undefined || JSON.stringify(maps) === JSON.stringify(userNamespace)) return;
  const spec =
    userNamespace === undefined ? "there is no user namespace" : "the user namespace has other maps";
  const reason = `the snapshot's ids are mapped (${JSON.stringify(maps)}), and in the spec ${spec}`;
  throw blazarError("InvalidRootfs", "read the snapshot", reason, { subject: containerId });
}

function withoutMappedIds({ containerId }: RootfsRequest, foreign: boolean): BlazarError {
  const why = foreign
    ? "the container's own layer has files already"
    : "there is no image of them that can be used";
  const reason = `a guest can map the ids of an image's files only, and ${why}`;
  const remedy = "set image.enabled = true, or hostUsers: true in the pod";
  return blazarError("UnsupportedSpec", "give the layers to a user namespace", reason, {
    subject: containerId,
    remedy,
  });
}

async function planDisk(
  containerId: string,
  snapshot: Extract<Snapshot, { kind: "disk" }>,
  owner: RootfsPlan["owner"],
): Promise<RootfsPlan> {
  const found = await stat(snapshot.path).catch((cause) => {
    throw unusable(snapshot.path, cause);
  });
  if (!found.isFile() && !found.isBlockDevice()) throw unusable(snapshot.path, "not a disk image");
  return {
    containerId,
    lower: undefined,
    disk: {
      path: snapshot.path,
      filesystem: snapshot.filesystem,
      owned: false,
      readonly: snapshot.readonly,
      kept: false,
    },
    guest: { kind: "disk", path: "", readonly: snapshot.readonly },
    owner,
  };
}

/** Throws InvalidRootfs if one of them is no directory. */
async function checkLayers(lower: readonly string[]): Promise<void> {
  await Promise.all(
    lower.map(async (layer) => {
      const found = await stat(layer).catch((cause) => {
        throw unusable(layer, cause);
      });
      if (!found.isDirectory()) throw unusable(layer, "not a directory");
    }),
  );
}

/** Whether an upperdir has files that are not ours. They belong to the container alone, and no image holds them. */
async function foreignFiles(upper: string | undefined): Promise<boolean> {
  if (upper === undefined) return false;
  const names = await readdir(upper).catch((cause) => {
    throw unusable(upper, cause);
  });
  return names.some((name) => !name.startsWith(UPPER_IMAGE));
}

/**
 * The layers to stack, the topmost first. An upperdir with files is one of them; the mask hides the disk image in it.
 *
 * The mask is there over a single layer, too: without it the mount would be a bind, with the same device and inode
 * numbers in every container of the image. A guest that keeps names by these numbers would take the files of one
 * container for those of another (docs/adr/0004).
 */
function stackLayers({ lower, upper }: Layers, foreign: boolean, directory: string): readonly string[] {
  const mask = maskLayer(directory);
  return foreign && upper !== undefined ? [mask, upper, ...lower] : [mask, ...lower];
}

function unusable(subject: string, cause: unknown): BlazarError {
  const remedy = "remove the image and pull it again";
  return blazarError("InvalidRootfs", "read the snapshot", reasonOf(cause), { subject, remedy, cause });
}
