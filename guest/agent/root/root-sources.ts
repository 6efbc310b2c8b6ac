/**
 * The sources of a container's mounts, detached (open_tree(2)) while the guest's own root is still there.
 *
 * They are opened by whoever has the guest's own privileges: for a container in a user namespace that is a process outside of
 * it, because inside no device node can be made. So such a container gets each node as a bind mount.
 */
import * as sys from "sys";
import { check, failure } from "../../../native/runtime/check.ts";
import { makeDirectories } from "../../../native/runtime/files.ts";
import { type BlazarError, blazarError } from "../../../src/contracts/errors.ts";
import type { GuestDevice, GuestMount } from "../../../src/protocol/guest/messages.ts";
import { STAGING } from "../guest-paths.ts";
import { isMadeAhead, type PreparedDevices, suits } from "../prepared/prepared-devices.ts";
import { DEFAULT_NODES, makeNode } from "./device-nodes.ts";
import { bindAttributes, type MountOptions, parseMountOptions } from "./mount-options.ts";
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
export interface PendingMount {
  readonly mount: GuestMount;
  readonly options: MountOptions;
  /** A detached tree, or -1 for a filesystem that is made in place. */
  readonly tree: number;
}

/** A path in the container, and the detached file that is mounted there. */
export type DetachedFile = readonly [destination: string, tree: number];

/** Everything whose source is in the guest's root. */
export interface RootSources {
  readonly mounts: readonly PendingMount[];
  /** Files of the sandbox. */
  readonly files: readonly DetachedFile[];
  /** The default devices and those of the spec, to be bound. Undefined: they are made. */
  readonly nodes: readonly DetachedFile[] | undefined;
  /** The default devices are among the mounts. */
  readonly hasDevices: boolean;
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
 * Opens the sources. Throws; the descriptors then end with the process.
 * @param devices a prepared /dev, which is used if it is what the root asks for, else closed
 */
export function openSources(root: ContainerRoot, devices?: PreparedDevices): RootSources {
  const ready = devices !== undefined && suits(devices, root) ? devices : undefined;
  if (devices !== undefined && ready === undefined) sys.close(devices.tree);
  const mounts = pendingMounts(root, ready);
  const files = sandboxFiles(root);
  const hasDevices = ready !== undefined || mounts.some(({ mount, options }) => isDeviceBind(mount, options));
  return { mounts, files, nodes: undefined, hasDevices };
}

/** The same for a container in a user namespace. Runs in a mount namespace that the device nodes may be made in. */
export function openMappedSources(root: ContainerRoot): RootSources {
  // proc and sysfs are assembled there later
  makeDirectories(STAGING);
  return { ...openSources(root), nodes: [...DEFAULT_NODES.map(openNode), ...openSpecNodes(root.devices)] };
}

function sandboxFiles({ mounts, files }: ContainerRoot): DetachedFile[] {
  const named = new Set(mounts.map((mount) => mount.destination));
  return Object.entries(files)
    .filter(([destination]) => !named.has(destination))
    .map(([destination, path]) => [destination, cloneTree(sys.AT_FDCWD, path)] as const);
}

function openNode(name: string): DetachedFile {
  return [`/dev/${name}`, cloneTree(sys.AT_FDCWD, `/dev/${name}`)];
}

/** Makes the nodes on a tmpfs that nobody else sees, and detaches each. */
function openSpecNodes(devices: readonly GuestDevice[]): DetachedFile[] {
  if (devices.length === 0) return [];
  check(sys.unshare(sys.CLONE_NEWNS), "make a mount namespace for device nodes");
  check(
    sys.mount("devices", STAGING, "tmpfs", sys.MS_NOSUID | sys.MS_NOEXEC, "mode=755"),
    "stage device nodes",
  );
  const nodes = devices.map((device, index): DetachedFile => {
    const path = `${STAGING}/${index}`;
    makeNode(path, device);
    return [device.path, cloneTree(sys.AT_FDCWD, path)];
  });
  check(sys.umount2(STAGING, sys.MNT_DETACH), "stage device nodes");
  return nodes;
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
