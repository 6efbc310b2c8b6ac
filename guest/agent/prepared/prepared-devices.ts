/**
 * The prepared /dev: made before its container is known, with tmpfs, nodes, links, devpts and mqueue.
 *
 * It is a detached tree (open_tree(2)): nobody sees it until it is moved to its place, and it vanishes with its last
 * descriptor. It is made as the last container asked for its /dev. Only a container that asks for exactly the same gets
 * it, option by option. What else is mounted below /dev, such as kubelet's termination log, must be beside all of that: it is
 * put there afterwards, as in any /dev. Any other container gets a /dev that is made in place (root/enter-root.ts).
 */
import * as sys from "sys";
import { check } from "../../../native/runtime/check.ts";
import { makeDirectories } from "../../../native/runtime/files.ts";
import type { GuestMount } from "../../../src/protocol/guest/messages.ts";
import { STAGING } from "../guest-paths.ts";
import { isDeviceName, makeNodes } from "../root/device-nodes.ts";
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
  const inside = mounts.filter(({ destination }) => !isElsewhere(destination) && !isBeside(destination));
  const places = new Set(inside.map(({ destination }) => destination));
  const usual = inside[0]?.destination === DEVICES && places.size === inside.length && inside.every(isUsual);
  // without shared memory, the container has a tmpfs of its own at /dev/shm
  return usual && (sharedMemory !== "" || !places.has(SHARED)) ? inside : [];
}

/** Whether a destination is a name in /dev that nothing prepared has. */
function isBeside(destination: string): boolean {
  if (TYPES.has(destination)) return false;
  const name = destination.slice(DEVICES.length + 1);
  return (
    destination.startsWith(`${DEVICES}/`) &&
    !/[/.]/.test(name) &&
    name !== "" &&
    name !== "console" &&
    !isDeviceName(name)
  );
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
 * Whether prepared devices are what a container asks for. Its mounts in /dev must be those that the devices were modelled
 * on, equal in every word and in the same order. Shared memory may come anywhere, since only its mount point is prepared.
 * All others must be elsewhere, or beside them and after /dev itself. Written as a loop, because a start waits for it.
 */
export function suits(devices: DeviceMounts, { mounts, sharedMemory }: DeviceMounts): boolean {
  if (devices.sharedMemory !== sharedMemory) return false;
  const inside = deviceMounts(devices);
  const made = inside.filter(({ destination }) => destination !== SHARED);
  let next = 0;
  let shared = inside.length - made.length;
  for (const mount of mounts) {
    const { destination } = mount;
    if (isElsewhere(destination) || (next > 0 && isBeside(destination))) continue;
    if (destination === SHARED && next > 0 && shared > 0 && isUsual(mount)) {
      shared--;
      continue;
    }
    const expected = made[next++];
    if (expected === undefined || !isSame(expected, mount)) return false;
  }
  return next === made.length && shared === 0;
}

function isSame(made: GuestMount, mount: GuestMount): boolean {
  if (made.destination !== mount.destination || made.type !== mount.type) return false;
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
