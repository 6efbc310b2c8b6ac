/**
 * Binds a volume below a directory that a file server serves, and takes it away again.
 *
 * A read-only volume is read-only as a whole, with everything that is mounted in it: the guest cannot write to it whatever
 * its kernel does. Nothing of a volume is a device or set-uid on the host. Synchronous: for workers.
 */
import { closeSync, lstatSync, mkdirSync, openSync, rmdirSync, unlinkSync } from "node:fs";
import type { VolumeMount } from "../../contracts/volumes.ts";
import { systemError } from "../libc/libc.ts";
import { unmountAllBelow } from "../mounts/mounts.ts";
import { attachTree, cloneTree } from "./mount-trees.ts";

const HARMLESS = ["nosuid", "nodev", "noexec"] as const;

/** Throws MountFailed, leaving nothing. */
export function bindVolume({ source, target, directory, readonly, recursive, slave }: VolumeMount): void {
  const attributes = readonly ? (["ro", ...HARMLESS] as const) : HARMLESS;
  const tree = cloneTree(source, { recursive, slave, attributes });
  if (typeof tree !== "number") throw failure(source, tree);
  try {
    makePoint(target, directory);
  } catch (error) {
    closeSync(tree);
    throw error;
  }
  const errno = attachTree(tree, target);
  if (errno === 0) return;
  removePoint(target);
  throw failure(source, ["attach the mount", errno]);
}

/** Takes it away, with whatever is mounted in it. Idempotent, also for half of one. */
export function unbindVolume(target: string): void {
  unmountAllBelow(target);
  removePoint(target);
}

function makePoint(target: string, directory: boolean): void {
  if (directory) mkdirSync(target, { mode: 0o755 });
  else closeSync(openSync(target, "wx", 0o644));
}

/** Removes an empty directory or an empty file, and nothing else: what has a mount on it is neither. */
function removePoint(target: string): void {
  const stat = lstatSync(target, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (stat.isDirectory()) rmdirSync(target);
  else if (stat.isFile() && stat.size === 0) unlinkSync(target);
}

function failure(subject: string, [what, errno]: [step: string, errno: number]) {
  return systemError("MountFailed", errno, { operation: "mount a volume", subject, what });
}
