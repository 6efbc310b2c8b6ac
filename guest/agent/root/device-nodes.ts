/**
 * The device nodes and links that every container has (OCI runtime-spec, config-linux: default devices).
 *
 * Runs in the child after pivot_root, with umask 0. A node that the root already has stays as it is; a read-only root gets
 * no nodes of these. /dev/console belongs to the terminal (process/terminal.ts).
 */
import * as sys from "sys";
import { failure } from "../../../native/runtime/check.ts";
import { type BlazarError, blazarError } from "../../../src/contracts/errors.ts";
import type { GuestDevice } from "../../../src/protocol/guest/messages.ts";
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
  ["core", "/proc/kcore"],
];

/** The names of the nodes in /dev that every container has. */
export const DEFAULT_NODES: readonly string[] = NODES.map(([name]) => name);

export function isDefaultNode(path: string): boolean {
  return DEFAULT_NODES.some((name) => path === `/dev/${name}`);
}

export function makeDevices(points: MountPoints): void {
  inDev(points, makeNodes);
}

/** The links alone, where the nodes are bound. */
export function makeDeviceLinks(points: MountPoints): void {
  inDev(points, makeLinks);
}

function inDev(points: MountPoints, make: () => void): void {
  const dev = points.tryMake("/dev", true);
  if (dev === -sys.EROFS) return;
  if (dev < 0) throw failure(dev, "MountFailed", "make a directory in the container", "/dev");
  points.inDirectory(dev, "/dev", make);
}

/** Whether /dev has a node or a link of this name. */
export function isDeviceName(name: string): boolean {
  return NODES.some(([each]) => each === name) || LINKS.some(([each]) => each === name);
}

/** Makes the nodes and links in the working directory. */
export function makeNodes(): void {
  for (const [name, major, minor] of NODES) tolerate(sys.mknod(name, CHARACTER_DEVICE, major, minor), name);
  makeLinks();
}

function makeLinks(): void {
  for (const [name, target] of LINKS) tolerate(sys.symlink(target, name), name);
}

/** Makes a node of the spec at a path of the guest's, where nothing is yet. Throws MountFailed. */
export function makeNode(path: string, { type, major, minor, mode }: GuestDevice): void {
  const made = sys.mknod(path, TYPES[type] | mode, major, minor);
  if (made < 0) throw failure(made, "MountFailed", "make a device", path);
}

const TYPES = { b: sys.S_IFBLK, c: sys.S_IFCHR, p: sys.S_IFIFO } as const;

/** Makes a node that the spec asks for. What is at its path already must be the same device. Throws MountFailed. */
export function makeDevice(points: MountPoints, device: GuestDevice): void {
  const { path, type, major, minor, mode, uid, gid } = device;
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  const name = parts.pop();
  const fail = (reason: string): BlazarError =>
    blazarError("MountFailed", "make a device in the container", reason, { subject: path });
  if (name === undefined || name === "..") throw fail("the path does not name a file");
  const parent = `/${parts.join("/")}`;
  points.inDirectory(points.make(parent, true), parent, () => {
    const made = sys.mknod(name, TYPES[type] | mode, major, minor);
    if (made === -sys.EEXIST) {
      const there = sys.lstat(name);
      const same =
        typeof there !== "number" &&
        (there.mode & sys.S_IFMT) === TYPES[type] &&
        (type === "p" || (there.rdevMajor === major && there.rdevMinor === minor));
      if (!same) throw fail("there is something else at this path");
    } else if (made < 0) throw failure(made, "MountFailed", "make a device in the container", path);
    if (uid === 0 && gid === 0) return;
    const owned = sys.lchown(name, uid, gid);
    if (owned < 0) throw failure(owned, "MountFailed", "give a device to its owner", path);
  });
}

function tolerate(result: number, name: string): void {
  if (result >= 0 || result === -sys.EEXIST || result === -sys.EROFS) return;
  throw failure(result, "MountFailed", "make a device in the container", `/dev/${name}`);
}
