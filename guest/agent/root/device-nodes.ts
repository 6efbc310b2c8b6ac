/**
 * The device nodes and links that every container has (OCI runtime-spec, config-linux: default devices).
 *
 * Runs in the child after pivot_root, with umask 0. A node that the root already has stays as it is; a read-only root gets
 * no nodes. /dev/console belongs to the terminal (process/terminal.ts).
 */
import * as sys from "sys";
import { failure } from "../../../native/runtime/check.ts";
import type { MountPoints } from "./mount-points.ts";

const CHARACTER_DEVICE = sys.S_IFCHR | 0o666;

const NODES: readonly [name: string, major: number, minor: number][] = [
  ["null", 1, 3],
  ["zero", 1, 5],
  ["full", 1, 7],
  ["random", 1, 8],
  ["urandom", 1, 9],
  ["tty", 5, 0],
];

const LINKS: readonly [name: string, target: string][] = [
  ["fd", "/proc/self/fd"],
  ["stdin", "/proc/self/fd/0"],
  ["stdout", "/proc/self/fd/1"],
  ["stderr", "/proc/self/fd/2"],
  ["ptmx", "pts/ptmx"],
];

export function makeDevices(points: MountPoints): void {
  const dev = points.tryMake("/dev", true);
  if (dev === -sys.EROFS) return;
  if (dev < 0) throw failure(dev, "MountFailed", "make a directory in the container", "/dev");
  points.inDirectory(dev, makeNodes);
}

/** Makes the nodes and links in the working directory. */
export function makeNodes(): void {
  for (const [name, major, minor] of NODES) tolerate(sys.mknod(name, CHARACTER_DEVICE, major, minor), name);
  for (const [name, target] of LINKS) tolerate(sys.symlink(target, name), name);
}

function tolerate(result: number, name: string): void {
  if (result >= 0 || result === -sys.EEXIST || result === -sys.EROFS) return;
  throw failure(result, "MountFailed", "make a device in the container", `/dev/${name}`);
}
