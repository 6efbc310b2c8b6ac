/**
 * The RootfsStore port: plans a container's root from its snapshot, has workers make and undo it.
 *
 * The layers are mounted read-only below the sandbox's share; the guest writes to a disk of its own, a copy of an
 * empty ext4 image kept in the snapshot's upperdir (so that containerd counts it) or, where there is none, in
 * the scratch directory. Must not mount anything read-write, and must not touch a layer's files.
 */
import { link, readdir, stat, unlink } from "node:fs/promises";
import path from "node:path";
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import type { RootfsPlan, RootfsRequest, RootfsStore } from "../../contracts/storage.ts";
import type { EmptyImage } from "../../workers/disk-image.ts";
import { maskLayer, UPPER_IMAGE } from "../../workers/mask-layer.ts";
import { overlayData } from "../../workers/overlay-data.ts";
import type { RootfsTasks } from "../../workers/rootfs.worker.ts";
import { readSnapshot, type Snapshot } from "./plan.ts";
import { removeTree } from "./remove-tree.ts";
import type { TaskRunner } from "./worker-pool.ts";

export interface HostRootfsStoreOptions {
  readonly workers: TaskRunner<RootfsTasks>;
  /** What writable layers start from; see set-up. */
  readonly empty: EmptyImage;
}

const CONTAINER_ID = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;

/** Root filesystems on this host. */
export class HostRootfsStore implements RootfsStore {
  private readonly workers: TaskRunner<RootfsTasks>;
  private readonly empty: EmptyImage;

  constructor(options: HostRootfsStoreOptions) {
    this.workers = options.workers;
    this.empty = options.empty;
  }

  warm(): void {
    if (this.workers.isAwake === true) return;
    // whoever needs it will be told
    this.workers.run("warm", undefined).catch(() => undefined);
  }

  async plan(request: RootfsRequest): Promise<RootfsPlan> {
    const { containerId, shareDirectory, owner } = request;
    if (!CONTAINER_ID.test(containerId)) {
      throw blazarError(
        "InvalidArgument",
        "plan the root filesystem",
        "a container's id has letters, digits, dot, dash and underscore, 128 at most",
        { subject: containerId },
      );
    }
    const directory = path.join(shareDirectory, containerId);
    const snapshot = readSnapshot(request.mounts);
    if (snapshot.kind === "disk") return planDisk(containerId, directory, snapshot, owner);
    const lower = await stackLayers(snapshot, directory);
    // refused here, where nothing has been made yet
    if (lower.length > 1) overlayData(lower, containerId);
    const image = snapshot.upper ?? request.scratchDirectory;
    const name = snapshot.upper === undefined ? `${containerId}.ext4` : UPPER_IMAGE;
    const kept = snapshot.upper !== undefined;
    return {
      containerId,
      directory,
      layers: { target: path.join(directory, "rootfs"), lower },
      disk: { path: path.join(image, name), filesystem: "ext4", owned: true, readonly: false, kept },
      guest: { kind: "layers", path: `${containerId}/rootfs`, readonly: snapshot.readonly },
      owner,
    };
  }

  async apply(plan: RootfsPlan, signal?: AbortSignal): Promise<void> {
    throwIfCancelled(plan, signal);
    await this.workers.run("applyRootfs", { plan, empty: this.empty });
    if (signal?.aborted !== true) return;
    await this.release(plan);
    throwIfCancelled(plan, signal);
  }

  async prepareDisk(image: string, owner: RootfsPlan["owner"]): Promise<void> {
    await this.workers.run("makeImage", { image, owner, empty: this.empty });
  }

  async placeDisk(plan: RootfsPlan, prepared: string): Promise<boolean> {
    const { disk } = plan;
    // apply takes over what is there already only where layers outlive their container
    if (!disk.owned || disk.kept !== true) return false;
    try {
      // link(2) and not rename(2): it fails where there is one already
      await link(prepared, disk.path);
      await unlink(prepared);
      return true;
    } catch {
      return false;
    }
  }

  async release(plan: RootfsPlan): Promise<void> {
    const { leftover } = await this.workers.run("releaseRootfs", plan);
    if (leftover) await removeTree(plan.directory);
  }
}

async function planDisk(
  containerId: string,
  directory: string,
  snapshot: Extract<Snapshot, { kind: "disk" }>,
  owner: RootfsPlan["owner"],
): Promise<RootfsPlan> {
  const found = await stat(snapshot.path).catch((cause) => {
    throw unusable(snapshot.path, cause);
  });
  if (!found.isFile() && !found.isBlockDevice()) throw unusable(snapshot.path, "not a disk image");
  return {
    containerId,
    directory,
    layers: undefined,
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

/**
 * The layers that exist, the topmost first. An upperdir with files is one; our image in it does not show.
 *
 * The mask is always there, also over a single layer: mounted alone, that would be a bind with the same device and
 * inode numbers in every container of the image, and a guest that keeps names by them would look for the files of
 * one container in the place of another.
 */
async function stackLayers(
  snapshot: Extract<Snapshot, { kind: "layers" }>,
  directory: string,
): Promise<readonly string[]> {
  await Promise.all(
    snapshot.lower.map(async (layer) => {
      const found = await stat(layer).catch((cause) => {
        throw unusable(layer, cause);
      });
      if (!found.isDirectory()) throw unusable(layer, "not a directory");
    }),
  );
  const mask = maskLayer(directory);
  if (snapshot.upper === undefined) return [mask, ...snapshot.lower];
  const { upper } = snapshot;
  const names = await readdir(upper).catch((cause) => {
    throw unusable(upper, cause);
  });
  const hasFiles = names.some((name) => !name.startsWith(UPPER_IMAGE));
  return hasFiles ? [mask, upper, ...snapshot.lower] : [mask, ...snapshot.lower];
}

function unusable(subject: string, cause: unknown): BlazarError {
  return blazarError(
    "InvalidRootfs",
    "read the snapshot",
    cause instanceof Error ? cause.message : String(cause),
    { subject, remedy: "remove the image and pull it again", cause },
  );
}

function throwIfCancelled(plan: RootfsPlan, signal: AbortSignal | undefined): void {
  if (signal?.aborted !== true) return;
  throw blazarError("Cancelled", "prepare the root filesystem", "the caller gave up", {
    subject: plan.containerId,
    cause: signal.reason,
  });
}
