/**
 * Worker entry: makes and undoes root filesystems on the host.
 *
 * The functions below are a piscina pool's tasks, called by name with plain data. Layers are mounted read-only
 * and harmless to the host (nosuid, nodev, noexec); nothing here ever writes into a layer. Must not be
 * terminated in the middle of a task: what is half done would stay.
 */
import { lstatSync, mkdirSync, readFileSync, realpathSync, rmdirSync, rmSync, statSync } from "node:fs";
import path from "node:path";
import { BlazarError, blazarError } from "../contracts/errors.ts";
import type { RootfsPlan } from "../contracts/storage.ts";
import { adoptImage, copyEmptyImage, type EmptyImage, unfinishedName } from "./disk-image.ts";
import { pageOutText, trimFreedMemory } from "./give-back.ts";
import {
  changeThreadDirectory,
  EBUSY,
  EINVAL,
  ENOENT,
  MNT_DETACH,
  MS_NODEV,
  MS_NOEXEC,
  MS_NOSUID,
  MS_PRIVATE,
  MS_RDONLY,
  makeWhiteout,
  mount,
  systemError,
  umount,
} from "./libc.ts";
import { maskLayer, UPPER_IMAGE } from "./mask-layer.ts";
import { mountPointsBelow } from "./mountinfo.ts";
import { type Outcome, settle } from "./outcome.ts";
import { overlayData } from "./overlay-data.ts";
import { packImage as pack, unpackImage as unpack } from "./packed-image.ts";

/** The tasks by name, for the pool's types. */
export interface RootfsTasks {
  applyRootfs(input: { readonly plan: RootfsPlan; readonly empty: EmptyImage }): Outcome<undefined>;
  releaseRootfs(plan: RootfsPlan): Outcome<{ readonly leftover: boolean }>;
  makeImage(input: {
    readonly image: string;
    readonly owner: RootfsPlan["owner"];
    readonly empty: EmptyImage;
  }): Outcome<undefined>;
  packImage(input: { readonly image: string; readonly packed: string }): Outcome<undefined>;
  unpackImage(input: {
    readonly packed: string;
    readonly image: string;
    readonly owner: RootfsPlan["owner"];
  }): Outcome<undefined>;
  unmountBelow(directory: string): Outcome<undefined>;
  /** Does nothing: has a thread ready when the next container needs one. */
  warm(input: undefined): Outcome<undefined>;
  /** Gives freed memory of the process back to the kernel; with `text`, program text too. */
  giveBack(input: { readonly text: boolean }): Outcome<undefined>;
}

export const warm: RootfsTasks["warm"] = () => ({ ok: true, value: undefined });

export const giveBack: RootfsTasks["giveBack"] = ({ text }) =>
  settle("HostResource", "give memory back", "blazard", () => {
    trimFreedMemory();
    if (text) pageOutText();
    return undefined;
  });

/** Makes what a plan says; a failure undoes its own work. */
export const applyRootfs: RootfsTasks["applyRootfs"] = ({ plan, empty }) =>
  settle("StorageFailed", "prepare the root filesystem", plan.containerId, () => {
    makeOwnDirectory(plan);
    try {
      if (plan.layers !== undefined) mountLayers(plan, plan.layers);
      const { disk } = plan;
      if (disk.owned && !(disk.kept === true && adoptImage(disk.path, plan.owner)))
        copyEmptyImage(empty, disk.path, plan.owner);
    } catch (error) {
      undo(plan);
      throw error;
    }
    return undefined;
  });

/** Undoes a plan, as far as it has been applied. `leftover`: something that is not ours is in the directory. */
export const releaseRootfs: RootfsTasks["releaseRootfs"] = (plan) =>
  settle("StorageFailed", "release the root filesystem", plan.containerId, () => undo(plan));

/** Makes an empty writable layer. */
export const makeImage: RootfsTasks["makeImage"] = ({ image, owner, empty }) =>
  settle("StorageFailed", "make a writable layer", image, () => {
    copyEmptyImage(empty, image, owner);
    return undefined;
  });

/** Makes a small file of what is in a sparse image. */
export const packImage: RootfsTasks["packImage"] = ({ image, packed }) =>
  settle("StorageFailed", "pack a disk image", image, () => {
    pack(image, packed);
    return undefined;
  });

/** Makes an image of such a file. */
export const unpackImage: RootfsTasks["unpackImage"] = ({ packed, image, owner }) =>
  settle("StorageFailed", "unpack a disk image", image, () => {
    unpack(packed, image, owner);
    return undefined;
  });

/** Unmounts everything at or below a directory; no such directory or no mount is success. */
export const unmountBelow: RootfsTasks["unmountBelow"] = (directory) =>
  settle("MountFailed", "unmount", directory, () => {
    // unmounting may uncover or propagate, so look again until nothing is left
    for (let round = 0; round < 16; round++) {
      const points = mountPointsBelow(readFileSync("/proc/self/mountinfo", "utf8"), realDirectory(directory));
      if (points.length === 0) return undefined;
      for (const point of points) unmountOne(point);
    }
    throw blazarError("MountFailed", "unmount", "mounts keep coming back", { subject: directory });
  });

/** Its parent without symlinks: mountinfo knows none. The directory itself may be gone, its name may be covered. */
function realDirectory(directory: string): string {
  try {
    return path.join(realpathSync(path.dirname(directory)), path.basename(directory));
  } catch {
    return path.resolve(directory);
  }
}

function makeOwnDirectory(plan: RootfsPlan): void {
  try {
    mkdirSync(plan.directory, { mode: 0o755 });
  } catch (cause) {
    const exists = lstatSync(plan.directory, { throwIfNoEntry: false }) !== undefined;
    throw BlazarError.wrap(cause, exists ? "ContainerExists" : "StorageFailed", {
      operation: "make the container's directory",
      subject: plan.directory,
    });
  }
}

function mountLayers(plan: RootfsPlan, layers: NonNullable<RootfsPlan["layers"]>): void {
  const { target, lower } = layers;
  mkdirSync(target, { mode: 0o755 });
  const mask = maskLayer(plan.directory);
  if (lower.includes(mask)) {
    mkdirSync(mask);
    check(makeWhiteout(path.join(mask, UPPER_IMAGE)), "make a whiteout", plan);
  }
  const harmless = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC;
  mountOverlay(plan, lower, target, harmless);
  // below a shared mount it would be passed on
  check(mount("none", target, null, MS_PRIVATE, null), "make private", plan);
}

function mountOverlay(plan: RootfsPlan, lower: readonly string[], target: string, flags: number): void {
  const { data, directory } = overlayData(lower, plan.containerId);
  if (directory === undefined) {
    check(mount("overlay", target, "overlay", flags, data), "overlay", plan);
    return;
  }
  check(changeThreadDirectory(directory), `go to ${directory}`, plan);
  const errno = mount("overlay", target, "overlay", flags, data);
  // a thread that stays in there would keep the file system of the layers busy
  changeThreadDirectory("/");
  check(errno, "overlay", plan);
}

function check(errno: number, step: string, plan: RootfsPlan): void {
  if (errno === 0) return;
  const missing = plan.layers?.lower.find((layer) => !isDirectory(layer));
  throw systemError("MountFailed", errno, {
    operation: "mount the layers",
    subject: plan.containerId,
    what: missing === undefined ? step : `${step}: the layer ${missing} is not a directory`,
    ...(missing === undefined ? {} : { remedy: "remove the image and pull it again" }),
  });
}

function isDirectory(directory: string): boolean {
  return statSync(directory, { throwIfNoEntry: false })?.isDirectory() === true;
}

function undo(plan: RootfsPlan): { leftover: boolean } {
  const { disk, directory, layers } = plan;
  if (layers !== undefined) {
    unmountOne(layers.target);
    removeEmpty(layers.target);
    const mask = maskLayer(directory);
    if (layers.lower.includes(mask)) rmSync(mask, { recursive: true, force: true });
  }
  if (disk.owned) {
    rmSync(unfinishedName(disk.path), { force: true });
    if (disk.kept !== true) rmSync(disk.path, { force: true });
  }
  return { leftover: !removeEmpty(directory) };
}

/** Removes an empty directory; true if it is gone. rmdir(2) takes neither files nor mount points with it. */
function removeEmpty(directory: string): boolean {
  try {
    rmdirSync(directory);
    return true;
  } catch {
    return lstatSync(directory, { throwIfNoEntry: false }) === undefined;
  }
}

/** Unmounts all that is stacked at one place. What is busy goes away with its last user. */
function unmountOne(target: string): void {
  for (let stacked = 0; stacked < 64; stacked++) {
    let errno = umount(target, 0);
    if (errno === EBUSY) errno = umount(target, MNT_DETACH);
    if (errno === EINVAL || errno === ENOENT) return;
    if (errno !== 0) throw systemError("MountFailed", errno, { operation: "unmount", subject: target });
  }
}
