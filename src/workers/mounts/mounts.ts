/**
 * Mounting and unmounting on the host: mount(2), umount2(2), mount_namespaces(7).
 *
 * Options have the names of mount(8): a new one is a row of {@link FLAGS}. A new kind of mount is a {@link HostMount} with
 * another type. Every mount is private, so that nothing passes to another namespace. Must not follow a symlink when it
 * unmounts. Synchronous: for workers.
 */
import { readFileSync, realpathSync } from "node:fs";
import path from "node:path";
import { blazarError } from "../../contracts/errors.ts";
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
  mount,
  systemError,
  umount,
} from "../libc/libc.ts";
import { mountPointsBelow } from "./mountinfo.ts";

const FLAGS = { ro: MS_RDONLY, nosuid: MS_NOSUID, nodev: MS_NODEV, noexec: MS_NOEXEC } as const;

/** An option that is a flag of mount(2). */
export type MountOption = keyof typeof FLAGS;

/** The options of everything that is mounted for a guest: it cannot hurt the host. */
export const HARMLESS: readonly MountOption[] = ["ro", "nosuid", "nodev", "noexec"];

/** Unmounting may uncover or propagate, so it looks again, this often at most. */
const UNMOUNT_ROUNDS = 16;
/** Mounts that may be stacked at one place. */
const MAX_STACKED = 64;

export interface HostMount {
  /** `overlay`, `erofs`, … */
  readonly type: string;
  readonly source: string;
  /** A directory that exists. */
  readonly target: string;
  readonly options: readonly MountOption[];
  /** Options of the filesystem, at most 4,095 bytes. */
  readonly data: string;
  /** Where relative paths in `data` start; undefined if there are none. */
  readonly directory: string | undefined;
}

/** The step that failed, in words, and its errno. */
export interface MountFailure {
  readonly step: string;
  readonly errno: number;
}

/** Mounts, and makes the mount private. Undefined if that worked; after a failure the caller unmounts the target. */
export function mountPrivately(what: HostMount): MountFailure | undefined {
  return mountIn(what) ?? failureOf("make private", mount("none", what.target, null, MS_PRIVATE, null));
}

function mountIn({ type, source, target, options, data, directory }: HostMount): MountFailure | undefined {
  const flags = options.reduce((all, option) => all | FLAGS[option], 0);
  if (directory === undefined) return failureOf(type, mount(source, target, type, flags, data));
  const failure = failureOf(`go to ${directory}`, changeThreadDirectory(directory));
  if (failure !== undefined) return failure;
  const errno = mount(source, target, type, flags, data);
  // a thread that stayed there would keep that filesystem busy
  changeThreadDirectory("/");
  return failureOf(type, errno);
}

function failureOf(step: string, errno: number): MountFailure | undefined {
  return errno === 0 ? undefined : { step, errno };
}

/** Unmounts everything at one place. A busy mount is detached: it goes away with its last user. */
export function unmountAt(target: string): void {
  for (let stacked = 0; stacked < MAX_STACKED; stacked++) {
    let errno = umount(target, 0);
    if (errno === EBUSY) errno = umount(target, MNT_DETACH);
    if (errno === EINVAL || errno === ENOENT) return;
    if (errno !== 0) throw systemError("MountFailed", errno, { operation: "unmount", subject: target });
  }
}

/** Unmounts everything at or below a directory. That the directory or a mount is missing is no failure. */
export function unmountAllBelow(directory: string): void {
  for (let round = 0; round < UNMOUNT_ROUNDS; round++) {
    const points = mountPointsBelow(readFileSync("/proc/self/mountinfo", "utf8"), realDirectory(directory));
    if (points.length === 0) return;
    for (const point of points) unmountAt(point);
  }
  throw blazarError("MountFailed", "unmount", "mounts keep coming back", { subject: directory });
}

/** The directory as mountinfo names it, without symlinks above it. It may be gone itself, or have a mount on it. */
function realDirectory(directory: string): string {
  try {
    return path.join(realpathSync(path.dirname(directory)), path.basename(directory));
  } catch {
    return path.resolve(directory);
  }
}
