/**
 * Builds the file system that a container's processes see, and enters it. Runs in the child, in its own mount namespace.
 *
 * First it detaches the sources of mounts (open_tree(2)), while the guest's own root is still there. Then comes
 * pivot_root(2). Only after that does it mount anything, onto descriptors that openat2(2) found below the new root. So no
 * symlink of a hostile image can lead a mount, or the making of a mount point, out of the container.
 */
import * as sys from "sys";
import { check, failure } from "../../../native/runtime/check.ts";
import { type BlazarError, blazarError } from "../../../src/contracts/errors.ts";
import type { GuestDevice, GuestMount } from "../../../src/protocol/guest/messages.ts";
import { isMadeAhead, type PreparedDevices, suits } from "../prepared/prepared-devices.ts";
import { makeDevice, makeDevices } from "./device-nodes.ts";
import { bindAttributes, type MountOptions, parseMountOptions } from "./mount-options.ts";
import { type Filesystem, MountPoints } from "./mount-points.ts";
import { hasSource, isInRoot, openSource, type SourceRoots } from "./mount-sources.ts";

/** Everything that the root is made of. `rootfs`, `files` and `sharedMemory` are paths in the guest's root. */
export interface ContainerRoot extends SourceRoots {
  readonly readonly: boolean;
  readonly mounts: readonly GuestMount[];
  /** Destination → file that is mounted there, unless `mounts` has that destination. */
  readonly files: Readonly<Record<string, string>>;
  /** The sandbox's shared memory, which replaces a tmpfs at /dev/shm. "" = none. */
  readonly sharedMemory: string;
  readonly maskedPaths: readonly string[];
  readonly readonlyPaths: readonly string[];
  readonly sysctl: Readonly<Record<string, string>>;
  /** Beside the default devices. */
  readonly devices: readonly GuestDevice[];
}

/** A mount whose source is detached already, if it has one. */
interface PendingMount {
  readonly mount: GuestMount;
  readonly options: MountOptions;
  /** A detached tree, or -1 for a filesystem that is made in place. */
  readonly tree: number;
}

/** Filesystems that a container may mount. */
const FILESYSTEMS: ReadonlySet<string> = new Set([
  "proc",
  "sysfs",
  "tmpfs",
  "devpts",
  "mqueue",
  "cgroup",
  "cgroup2",
]);

/**
 * Makes the root and enters it; the working directory is "/" afterwards. If it throws, the child has to end.
 * @param devices a prepared /dev, which is used if it is what the root asks for, else closed
 */
export function enterRoot(root: ContainerRoot, devices?: PreparedDevices): void {
  const ready = devices !== undefined && suits(devices, root) ? devices : undefined;
  if (devices !== undefined && ready === undefined) sys.close(devices.tree);
  const mounts = pendingMounts(root, ready);
  const named = new Set(root.mounts.map((mount) => mount.destination));
  const files = Object.entries(root.files)
    .filter(([destination]) => !named.has(destination))
    .map(([destination, path]) => [destination, cloneTree(sys.AT_FDCWD, path)] as const);

  check(sys.chdir(root.rootfs), "enter the container's root", root.rootfs);
  check(sys.pivotRoot(".", "."), "pivot into the container's root", root.rootfs);
  check(sys.umount2(".", sys.MNT_DETACH), "leave the guest's root");
  check(sys.chdir("/"), "enter the container's root", "/");

  const points = new MountPoints();
  for (const [destination, tree] of files) if (!isInProc(destination)) attachFile(points, destination, tree);
  for (const mount of mounts) attach(points, mount);
  if (ready === undefined && !mounts.some(({ mount, options }) => isDeviceBind(mount, options)))
    makeDevices(points);
  for (const device of root.devices) makeDevice(points, device);
  writeSysctl(root.sysctl);
  for (const path of root.readonlyPaths) makeReadonly(points, path);
  maskAll(points, root.maskedPaths);
  // last, or the container's /proc and its read-only parts would cover these files
  if (named.has("/proc")) {
    for (const [destination, tree] of files) if (isInProc(destination)) attachFile(points, destination, tree);
  }
  if (root.readonly) {
    check(sys.mountSetattr(sys.AT_FDCWD, "/", 0, sys.MOUNT_ATTR_RDONLY, 0), "make the root read-only");
  }
}

function isInProc(destination: string): boolean {
  return destination.startsWith("/proc/");
}

function isBind(mount: GuestMount, options: MountOptions): boolean {
  return options.bind || hasSource(mount);
}

function isDeviceBind(mount: GuestMount, options: MountOptions): boolean {
  return mount.destination === "/dev" && isBind(mount, options);
}

function pendingMounts(root: ContainerRoot, devices: PreparedDevices | undefined): PendingMount[] {
  const pending: PendingMount[] = [];
  for (const mount of root.mounts) {
    if (isInRoot(mount, root)) continue;
    if (devices === undefined || !isMadeAhead(mount)) pending.push(pendingMount(mount, root));
    else if (mount.destination === "/dev") {
      pending.push({ mount, options: parseMountOptions(mount.options), tree: devices.tree });
    }
  }
  return pending;
}

function pendingMount(mount: GuestMount, root: ContainerRoot): PendingMount {
  const { sharedMemory } = root;
  const options = parseMountOptions(mount.options);
  if (!mount.destination.startsWith("/")) throw unsupported(mount, "its destination is not an absolute path");
  if (mount.destination === "/dev/shm" && mount.type === "tmpfs" && sharedMemory !== "") {
    return { mount, options, tree: withAttributes(cloneTree(sys.AT_FDCWD, sharedMemory), options, mount) };
  }
  if (!isBind(mount, options)) {
    if (!FILESYSTEMS.has(mount.type))
      throw unsupported(mount, "a container cannot have a filesystem of this type");
    return { mount, options, tree: -1 };
  }
  const source = openSource(mount, root);
  const recursive = options.recursiveBind ? sys.AT_RECURSIVE : 0;
  const tree = sys.openTree(source, "", sys.OPEN_TREE_CLONE | sys.AT_EMPTY_PATH | recursive);
  if (tree < 0) throw failure(tree, "MountFailed", "clone the source of a mount", mount.source);
  sys.close(source);
  return { mount, options, tree: withAttributes(tree, options, mount) };
}

function unsupported(mount: GuestMount, reason: string): BlazarError {
  return blazarError("UnsupportedSpec", "mount into the container", reason, {
    subject: `${mount.type} at ${mount.destination}`,
  });
}

function cloneTree(directory: number, path: string): number {
  return check(sys.openTree(directory, path, sys.OPEN_TREE_CLONE), "clone a mount", path);
}

function withAttributes(tree: number, options: MountOptions, mount: GuestMount): number {
  const attributes = bindAttributes(options.flags);
  if (attributes !== 0) {
    const flags = sys.AT_EMPTY_PATH | (options.recursive ? sys.AT_RECURSIVE : 0);
    const result = sys.mountSetattr(tree, "", flags, attributes, 0);
    if (result < 0) throw failure(result, "MountFailed", "set the attributes of a mount", mount.destination);
  }
  return tree;
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

/** The same for a file of the sandbox; a root that cannot have the mount point goes without the file. */
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

function writeSysctl(sysctl: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(sysctl)) {
    const parts = name.includes("/") ? name.split("/") : name.split(".");
    if (parts.includes("..") || parts.includes("")) {
      throw blazarError("InvalidSpec", "set a sysctl", "this is not the name of a sysctl", { subject: name });
    }
    const result = sys.writeFile(`/proc/sys/${parts.join("/")}`, value, sys.O_WRONLY);
    if (result < 0) throw failure(result, "InvalidSpec", "set a sysctl", `${name}=${value}`);
  }
}
