/**
 * Worker entry: makes and undoes root filesystems on the host; looks at volumes, and binds them for file servers; joins VMs
 * to pods' networks (network/tasks.ts).
 *
 * Its functions are the tasks of a piscina pool, called by name with plain data; {@link RootfsTasks} lists them. Layers
 * are mounted read-only, nosuid, nodev and noexec. Must not write into a layer. Must not be terminated in the middle of
 * a task: half a root filesystem would stay.
 */
import { lstatSync, mkdirSync, rmdirSync, rmSync, statSync } from "node:fs";
import path from "node:path";
import { BlazarError } from "../contracts/errors.ts";
import type { FileMessage } from "../contracts/file-sender.ts";
import type { RootfsLower, RootfsPlan } from "../contracts/storage.ts";
import type { SourceFacts, VolumeCopy, VolumeMount } from "../contracts/volumes.ts";
import { sendFile as send } from "./descriptors.ts";
import { pageOutText, trimFreedMemory } from "./give-back.ts";
import {
  adoptImage,
  copyEmptyImage,
  type EmptyImage,
  reservedBytes,
  unfinishedName,
} from "./images/disk-image.ts";
import { maskLayer, UPPER_IMAGE } from "./images/mask-layer.ts";
import { overlayData } from "./images/overlay-data.ts";
import { packImage as pack, unpackImage as unpack } from "./images/packed-image.ts";
import { makeWhiteout, systemError } from "./libc/libc.ts";
import { HARMLESS, type MountFailure, mountPrivately, unmountAllBelow, unmountAt } from "./mounts/mounts.ts";
import type { NetworkTasks } from "./network/tasks.ts";
import { type Outcome, settle } from "./outcome.ts";
import { bindVolume as bind, unbindVolume as unbind } from "./volumes/volume-mounts.ts";
import { type CopyBounds, lookAtSource, readTree } from "./volumes/volume-tree.ts";

export {
  hasDeadJoint,
  joinTaps,
  joinUplink,
  leaveTaps,
  lookAgain,
  lookForTaps,
  readHostNetwork,
  readNetwork,
  takeLocalhost,
} from "./network/tasks.ts";

/** The tasks by name, as the pool calls them. */
export interface RootfsTasks extends NetworkTasks {
  applyRootfs(input: {
    readonly plan: RootfsPlan;
    readonly empty: EmptyImage;
    /** `lower`: the disk has been made already. */
    readonly part: "all" | "lower";
  }): Outcome<undefined>;
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
    /** What the image was a copy of once. */
    readonly empty: EmptyImage;
  }): Outcome<undefined>;
  unmountBelow(directory: string): Outcome<undefined>;
  /** Looks at sources of volumes, and reads those that may be copied. */
  lookAtVolumes(input: {
    readonly sources: readonly { readonly source: string; readonly copied: boolean }[];
    /** Of one copy, and of all of them. */
    readonly bounds: { readonly each: CopyBounds; readonly all: CopyBounds };
  }): Outcome<{
    readonly looks: readonly VolumeLook[];
    /** What is left of the bounds of all. */
    readonly left: CopyBounds;
  }>;
  bindVolume(mount: VolumeMount): Outcome<undefined>;
  unbindVolume(target: string): Outcome<undefined>;
  /** Opens a file and sends it over a socket of the process. */
  sendFile(input: FileMessage): Outcome<undefined>;
  /** Does nothing: starts a thread before the next container needs one. */
  warm(input: undefined): Outcome<undefined>;
  /** Gives freed memory of the process back to the kernel, with `text` also program text. */
  giveBack(input: { readonly text: boolean }): Outcome<undefined>;
}

/** What was found at the source of a volume. */
export interface VolumeLook {
  readonly look: SourceFacts;
  /** Undefined unless it was asked for, and is a file or a directory. */
  readonly copy: VolumeCopy | undefined;
}

type Share = Extract<RootfsLower, { kind: "share" }>;

export const warm: RootfsTasks["warm"] = () => ({ ok: true, value: undefined });

export const sendFile: RootfsTasks["sendFile"] = (message) => send(message);

export const giveBack: RootfsTasks["giveBack"] = ({ text }) =>
  settle("HostResource", "give memory back", "blazard", () => {
    trimFreedMemory();
    if (text) pageOutText();
    return undefined;
  });

/** Makes what a plan says. A failure undoes its own work. */
export const applyRootfs: RootfsTasks["applyRootfs"] = ({ plan, empty, part }) =>
  settle("StorageFailed", "prepare the root filesystem", plan.containerId, () => {
    const { disk, lower } = plan;
    if (lower?.kind === "share") makeOwnDirectory(lower);
    try {
      if (lower?.kind === "share") mountLayers(plan, lower);
      if (part === "all" && disk.owned && !(disk.kept === true && adoptImage(disk.path, plan.owner)))
        copyEmptyImage(empty, disk.path, plan.owner);
    } catch (error) {
      undo(plan);
      throw error;
    }
    return undefined;
  });

/** Undoes a plan, also one that is half applied. `leftover`: the directory has files that the plan did not make. */
export const releaseRootfs: RootfsTasks["releaseRootfs"] = (plan) =>
  settle("StorageFailed", "release the root filesystem", plan.containerId, () => undo(plan));

/** Makes an empty writable layer. */
export const makeImage: RootfsTasks["makeImage"] = ({ image, owner, empty }) =>
  settle("StorageFailed", "make a writable layer", image, () => {
    copyEmptyImage(empty, image, owner);
    return undefined;
  });

/** Packs a sparse image into a small file. */
export const packImage: RootfsTasks["packImage"] = ({ image, packed }) =>
  settle("StorageFailed", "pack a disk image", image, () => {
    pack(image, packed);
    return undefined;
  });

/** Makes the image again of a packed file. */
export const unpackImage: RootfsTasks["unpackImage"] = ({ packed, image, owner, empty }) =>
  settle("StorageFailed", "unpack a disk image", image, () => {
    unpack(packed, image, owner, reservedBytes(empty));
    return undefined;
  });

/** Unmounts everything at or below a directory. */
export const unmountBelow: RootfsTasks["unmountBelow"] = (directory) =>
  settle("MountFailed", "unmount", directory, () => {
    unmountAllBelow(directory);
    return undefined;
  });

export const lookAtVolumes: RootfsTasks["lookAtVolumes"] = ({ sources, bounds }) =>
  settle("StorageFailed", "look at volumes", `${sources.length} sources`, () => {
    let left = bounds.all;
    const looks = sources.map(({ source, copied }) => {
      try {
        const look = lookAtSource(source);
        const readable = look.type === "directory" || look.type === "file";
        const most = lesser(bounds.each, left);
        const copy = copied && readable ? readTree(source, most) : undefined;
        left = without(left, copy);
        return { look, copy };
      } catch (error) {
        throw BlazarError.wrap(error, "StorageFailed", { operation: "look at a volume", subject: source });
      }
    });
    return { looks, left };
  });

function lesser(one: CopyBounds, other: CopyBounds): CopyBounds {
  return { bytes: Math.min(one.bytes, other.bytes), entries: Math.min(one.entries, other.entries) };
}

function without(bounds: CopyBounds, copy: VolumeCopy | undefined): CopyBounds {
  if (copy === undefined || "refused" in copy) return bounds;
  const characters = copy.entries.reduce((sum, { content }) => sum + content.length, 0);
  return { bytes: bounds.bytes - characters, entries: bounds.entries - copy.entries.length };
}

export const bindVolume: RootfsTasks["bindVolume"] = (mount) =>
  settle("MountFailed", "mount a volume", mount.source, () => {
    bind(mount);
    return undefined;
  });

export const unbindVolume: RootfsTasks["unbindVolume"] = (target) =>
  settle("MountFailed", "unmount a volume", target, () => {
    unbind(target);
    return undefined;
  });

function makeOwnDirectory({ directory }: Share): void {
  try {
    mkdirSync(directory, { mode: 0o755 });
  } catch (cause) {
    const exists = lstatSync(directory, { throwIfNoEntry: false }) !== undefined;
    throw BlazarError.wrap(cause, exists ? "ContainerExists" : "StorageFailed", {
      operation: "make the container's directory",
      subject: directory,
    });
  }
}

function mountLayers(plan: RootfsPlan, share: Share): void {
  const { directory, target, layers } = share;
  mkdirSync(target, { mode: 0o755 });
  const mask = maskLayer(directory);
  if (layers.includes(mask)) makeMask(plan, share, mask);
  const data = overlayData(layers, plan.containerId);
  const failure = mountPrivately({
    type: "overlay",
    source: "overlay",
    target,
    options: HARMLESS,
    ...data,
  });
  if (failure !== undefined) throw layersFailed(plan, share, failure);
}

/** A layer with one whiteout: the container's own disk image does not show in its root. */
function makeMask(plan: RootfsPlan, share: Share, mask: string): void {
  mkdirSync(mask);
  const errno = makeWhiteout(path.join(mask, UPPER_IMAGE));
  if (errno !== 0) throw layersFailed(plan, share, { step: "make a whiteout", errno });
}

function layersFailed(plan: RootfsPlan, { layers }: Share, { step, errno }: MountFailure): BlazarError {
  const missing = layers.find((layer) => !isDirectory(layer));
  const what = missing === undefined ? step : `${step}: the layer ${missing} is not a directory`;
  const remedy = missing === undefined ? undefined : "remove the image and pull it again";
  const about = { operation: "mount the layers", subject: plan.containerId, what, remedy };
  return systemError("MountFailed", errno, about);
}

function isDirectory(directory: string): boolean {
  return statSync(directory, { throwIfNoEntry: false })?.isDirectory() === true;
}

function undo({ disk, lower }: RootfsPlan): { leftover: boolean } {
  if (lower?.kind === "share") {
    const { directory, target, layers } = lower;
    unmountAt(target);
    removeEmpty(target);
    const mask = maskLayer(directory);
    if (layers.includes(mask)) rmSync(mask, { recursive: true, force: true });
  }
  if (disk.owned) {
    rmSync(unfinishedName(disk.path), { force: true });
    if (disk.kept !== true) rmSync(disk.path, { force: true });
  }
  return { leftover: lower?.kind === "share" && !removeEmpty(lower.directory) };
}

/** True if the directory is gone. rmdir(2) removes neither files nor mount points. */
function removeEmpty(directory: string): boolean {
  try {
    rmdirSync(directory);
    return true;
  } catch {
    return lstatSync(directory, { throwIfNoEntry: false }) === undefined;
  }
}
