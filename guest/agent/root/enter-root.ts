/**
 * Builds the file system that a container's processes see, and enters it. Runs in the child, in its own mount namespace.
 *
 * The sources of mounts have been detached while the guest's own root was still there (root-sources.ts). First comes
 * pivot_root(2). Only after that is anything mounted in it, onto descriptors that openat2(2) found below the new root. So no
 * symlink of a hostile image can lead a mount, or the making of a mount point, out of the container.
 */
import * as sys from "sys";
import { check, failure } from "../../../native/runtime/check.ts";
import { blazarError } from "../../../src/contracts/errors.ts";
import type { GuestMount } from "../../../src/protocol/guest/messages.ts";
import { STAGING } from "../guest-paths.ts";
import { writeSysctls } from "../sandbox/pod-sysctls.ts";
import { isDefaultNode, makeDevice, makeDeviceLinks, makeDevices } from "./device-nodes.ts";
import type { MountOptions } from "./mount-options.ts";
import { type Filesystem, MountPoints } from "./mount-points.ts";
import type { ContainerRoot, DetachedFile, PendingMount, RootSources } from "./root-sources.ts";

/**
 * Makes the root and enters it; the working directory is "/" afterwards, and the root can be written to until {@link sealRoot}.
 * If it throws, the child has to end. In a user namespace, `sources.nodes` is there, and the process is root inside.
 */
export function enterRoot(root: ContainerRoot, { mounts, files, nodes, hasDevices }: RootSources): void {
  const mapped = nodes !== undefined;
  const pending = mapped ? mounts.map(withVisibleTree) : mounts;
  // every mount that this namespace has inherited is locked, and pivot_root(2) takes none of them
  if (mapped)
    check(sys.mount(root.rootfs, root.rootfs, null, sys.MS_BIND | sys.MS_REC), "bind the root", root.rootfs);
  check(sys.chdir(root.rootfs), "enter the container's root", root.rootfs);
  check(sys.pivotRoot(".", "."), "pivot into the container's root", root.rootfs);
  check(sys.umount2(".", sys.MNT_DETACH), "leave the guest's root");
  check(sys.chdir("/"), "enter the container's root", "/");

  const points = new MountPoints();
  for (const mount of pending) attach(points, mount);
  // after the mounts: a volume at /etc would cover these files
  for (const [destination, tree] of files) if (!isInProc(destination)) attachTree(points, destination, tree);
  if (!mapped) makeNodes(points, root, hasDevices);
  else bindNodes(points, nodes, hasDevices);
  writeSysctls(root.sysctl);
  for (const path of root.readonlyPaths) makeReadonly(points, path);
  maskAll(points, root.maskedPaths);
  // last, or the container's /proc and its read-only parts would cover these files
  if (root.mounts.some(({ destination }) => destination === "/proc")) {
    for (const [destination, tree] of files) if (isInProc(destination)) attachFile(points, destination, tree);
  }
}

/** Makes a root that shall be read-only what it is to be. As under runc, a working directory that is missing is made before. */
export function sealRoot({ readonly }: ContainerRoot): void {
  if (readonly)
    check(sys.mountSetattr(sys.AT_FDCWD, "/", 0, sys.MOUNT_ATTR_RDONLY, 0), "make the root read-only");
}

/**
 * In a user namespace, proc and sysfs can be mounted only where a whole one is in sight (mount_too_revealing() of
 * fs/namespace.c). So they are mounted before the guest's own root is left, and detached.
 */
function withVisibleTree(pending: PendingMount): PendingMount {
  const { mount, options, tree } = pending;
  if (tree >= 0 || (mount.type !== "proc" && mount.type !== "sysfs")) return pending;
  const { type, source, flags, data } = filesystemOf(mount, options);
  const result = sys.mount(source, STAGING, type, flags, data);
  if (result < 0) throw failure(result, "MountFailed", `mount ${type} in the container`, mount.destination);
  const visible = check(sys.openTree(sys.AT_FDCWD, STAGING, sys.OPEN_TREE_CLONE), "detach a mount", type);
  check(sys.umount2(STAGING, sys.MNT_DETACH), "detach a mount", type);
  return { ...pending, tree: visible };
}

function makeNodes(points: MountPoints, root: ContainerRoot, hasDevices: boolean): void {
  if (!hasDevices) makeDevices(points);
  for (const device of root.devices) makeDevice(points, device);
}

function bindNodes(points: MountPoints, nodes: readonly DetachedFile[], hasDevices: boolean): void {
  for (const [destination, tree] of nodes) {
    if (!(hasDevices && isDefaultNode(destination))) attachFile(points, destination, tree);
    else sys.close(tree);
  }
  if (!hasDevices) makeDeviceLinks(points);
}

function isInProc(destination: string): boolean {
  return destination.startsWith("/proc/");
}

function attach(points: MountPoints, { mount, options, tree }: PendingMount): void {
  if (tree >= 0) attachTree(points, mount.destination, tree);
  else points.mountFilesystem(mount.destination, filesystemOf(mount, options));
  if (options.propagation !== 0) points.setPropagation(mount.destination, options.propagation);
}

function filesystemOf(mount: GuestMount, options: MountOptions): Filesystem {
  const { type } = mount;
  // the guest has cgroup v2 only; options for a host's cgroup v1 mean nothing to it
  if (type === "cgroup" || type === "cgroup2") {
    const flags = mount.options.includes("rw") ? options.flags : options.flags | sys.MS_RDONLY;
    return { type: "cgroup2", source: "cgroup", flags, data: "" };
  }
  return {
    type,
    source: mount.source === "" ? type : mount.source,
    flags: options.flags,
    data: options.data,
  };
}

/** Puts a detached tree at a place, which is made if it is missing. */
function attachTree(points: MountPoints, destination: string, tree: number): void {
  const point = points.make(destination, isDirectory(tree));
  moveTree(tree, point, destination);
}

/** The same for a file that a root goes without if it cannot have the mount point. */
function attachFile(points: MountPoints, destination: string, tree: number): void {
  const point = points.tryMake(destination, false);
  if (point >= 0) moveTree(tree, point, destination);
  else sys.close(tree);
}

function moveTree(tree: number, point: number, destination: string): void {
  if (isDirectory(tree) !== isDirectory(point)) {
    const [what, there] = isDirectory(tree) ? ["a directory", "a file"] : ["a file", "a directory"];
    const reason = `the image has ${there} where ${what} is to be mounted`;
    throw blazarError("InvalidSpec", "mount into the container", reason, { subject: destination });
  }
  const flags = sys.MOVE_MOUNT_F_EMPTY_PATH | sys.MOVE_MOUNT_T_EMPTY_PATH;
  const result = sys.moveMount(tree, "", point, "", flags);
  if (result < 0) throw failure(result, "MountFailed", "mount into the container", destination);
  sys.close(point);
  sys.close(tree);
}

function isDirectory(fd: number): boolean {
  const stat = sys.fstat(fd);
  return typeof stat !== "number" && (stat.mode & sys.S_IFMT) === sys.S_IFDIR;
}

function makeReadonly(points: MountPoints, path: string): void {
  const point = points.find(path);
  if (point < 0) return;
  const flags = sys.OPEN_TREE_CLONE | sys.AT_RECURSIVE | sys.AT_EMPTY_PATH;
  const tree = check(sys.openTree(point, "", flags), "clone a path to make it read-only", path);
  const set = sys.AT_EMPTY_PATH | sys.AT_RECURSIVE;
  check(sys.mountSetattr(tree, "", set, sys.MOUNT_ATTR_RDONLY, 0), "make a path read-only", path);
  moveTree(tree, point, path);
}

function maskAll(points: MountPoints, paths: readonly string[]): void {
  if (paths.length === 0) return;
  const nothing = points.find("/dev/null");
  for (const path of paths) mask(points, path, nothing);
  if (nothing >= 0) sys.close(nothing);
}

function mask(points: MountPoints, path: string, nothing: number): void {
  const point = points.find(path);
  if (point < 0) return;
  if (isDirectory(point)) {
    return points.mountAt(point, path, {
      type: "tmpfs",
      source: "tmpfs",
      flags: sys.MS_RDONLY,
      data: "size=0k",
    });
  }
  if (!isNullDevice(nothing)) {
    const reason = "the container has no /dev/null to cover it with";
    throw blazarError("InvalidSpec", "mask a path", reason, { subject: path });
  }
  const tree = sys.openTree(nothing, "", sys.OPEN_TREE_CLONE | sys.AT_EMPTY_PATH);
  moveTree(check(tree, "clone /dev/null to mask a path", path), point, path);
}

/** Checked, because an image may have anything at /dev/null. */
function isNullDevice(fd: number): boolean {
  const stat = fd < 0 ? fd : sys.fstat(fd);
  if (typeof stat === "number") return false;
  return (stat.mode & sys.S_IFMT) === sys.S_IFCHR && stat.rdevMajor === 1 && stat.rdevMinor === 3;
}
