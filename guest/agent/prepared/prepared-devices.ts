/**
 * The prepared /dev: made before its container is known, with tmpfs, nodes, links, devpts and mqueue.
 *
 * It is a detached tree (open_tree(2)): nobody sees it until it is moved to its place, and it vanishes with its last
 * descriptor. It is made as the last container asked for its /dev. Only a container that asks for exactly the same gets
 * it, option by option, with nothing else below /dev; so it never has to be altered. Any other container gets a /dev that
 * is made in place (root/enter-root.ts).
 */
import * as sys from "sys";
import { check } from "../../../native/runtime/check.ts";
import { makeDirectories } from "../../../native/runtime/files.ts";
import type { GuestMount } from "../../../src/protocol/guest/messages.ts";
import { STAGING } from "../guest-paths.ts";
import { makeNodes } from "../root/device-nodes.ts";
import { parseMountOptions } from "../root/mount-options.ts";

/** The parts of a {@link ContainerRoot} that decide about its /dev. */
export interface DeviceMounts {
  readonly mounts: readonly GuestMount[];
  readonly sharedMemory: string;
}

/** A prepared /dev, with all mounts of the container that it was modelled on. */
export interface PreparedDevices extends DeviceMounts {
  readonly tree: number;
}

const DEVICES = "/dev";
const SHARED = "/dev/shm";
/** The mounts that can be prepared, by destination. Of /dev/shm, only the mount point is made. */
const TYPES: ReadonlyMap<string, string> = new Map([
  [DEVICES, "tmpfs"],
  ["/dev/pts", "devpts"],
  ["/dev/mqueue", "mqueue"],
  [SHARED, "tmpfs"],
]);

/** Whether a prepared /dev has this mount already. */
export function isMadeAhead({ destination }: GuestMount): boolean {
  return destination !== SHARED && TYPES.has(destination);
}

/** The mounts that make up /dev, /dev itself first, if all of them can be prepared; else none. */
function deviceMounts({ mounts, sharedMemory }: DeviceMounts): readonly GuestMount[] {
  const inside = mounts.filter(({ destination }) => !isElsewhere(destination));
  const places = new Set(inside.map(({ destination }) => destination));
  const usual = inside[0]?.destination === DEVICES && places.size === inside.length && inside.every(isUsual);
  // without shared memory, the container has a tmpfs of its own at /dev/shm
  return usual && (sharedMemory !== "" || !places.has(SHARED)) ? inside : [];
}

function isUsual(mount: GuestMount): boolean {
  if (TYPES.get(mount.destination) !== mount.type) return false;
  const { bind, propagation } = parseMountOptions(mount.options);
  return !bind && propagation === 0;
}

/** Whether a destination is surely not in /dev. "//" and "/." could lead there, whatever the path starts with. */
function isElsewhere(destination: string): boolean {
  return !destination.startsWith(DEVICES) && !destination.includes("//") && !destination.includes("/.");
}

/**
 * Whether prepared devices are what a container asks for. Its mounts must begin with those that the devices were modelled
 * on, those in /dev being equal in every word; all further mounts must be elsewhere. Written as loops, because a start
 * waits for it.
 */
export function suits(devices: DeviceMounts, { mounts, sharedMemory }: DeviceMounts): boolean {
  const { length } = devices.mounts;
  if (mounts.length < length || devices.sharedMemory !== sharedMemory) return false;
  for (let index = 0; index < mounts.length; index++) {
    const mount = mounts[index];
    const made = devices.mounts[index];
    if (mount === undefined || !(made === undefined ? isElsewhere(mount.destination) : isSame(made, mount)))
      return false;
  }
  return true;
}

function isSame(made: GuestMount, mount: GuestMount): boolean {
  if (made.destination !== mount.destination) return false;
  if (!TYPES.has(made.destination)) return true;
  if (made.type !== mount.type) return false;
  // only the mount point of the shared memory is prepared
  if (made.destination === SHARED) return isUsual(mount);
  if (made.source !== mount.source || made.options.length !== mount.options.length) return false;
  for (let index = 0; index < made.options.length; index++) {
    if (made.options[index] !== mount.options[index]) return false;
  }
  return true;
}

/** Makes a /dev as `like` has it. Undefined if it cannot be prepared; a container that asks for it then gets the error. */
export function prepareDevices(like: DeviceMounts): PreparedDevices | undefined {
  const mounts = deviceMounts(like);
  if (mounts.length === 0) return undefined;
  const mask = sys.umask(0);
  try {
    makeDirectories(STAGING);
    // a child may have been killed here and left its mounts
    sys.umount2(STAGING, sys.MNT_DETACH);
    for (const mount of mounts) mountStaged(mount);
    check(sys.chdir(STAGING), "enter the prepared devices");
    makeNodes();
    const tree = sys.openTree(sys.AT_FDCWD, STAGING, sys.OPEN_TREE_CLONE | sys.AT_RECURSIVE);
    return { ...like, tree: check(tree, "detach the prepared devices") };
  } catch {
    return undefined;
  } finally {
    sys.chdir("/");
    sys.umount2(STAGING, sys.MNT_DETACH);
    sys.umask(mask);
  }
}

function mountStaged({ type, source, destination, options }: GuestMount): void {
  const place = `${STAGING}${destination.slice(DEVICES.length)}`;
  if (destination !== DEVICES) check(sys.mkdir(place, 0o755), "make a mount point", place);
  // the sandbox's shared memory is mounted here when the container is known
  if (destination === SHARED) return;
  const { flags, data } = parseMountOptions(options);
  check(sys.mount(source === "" ? type : source, place, type, flags, data), `mount ${type}`, place);
}
