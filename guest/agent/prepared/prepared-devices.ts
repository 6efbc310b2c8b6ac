/**
 * A container's /dev that is made before its container is known: tmpfs, nodes, links, devpts and mqueue.
 *
 * A detached tree (open_tree(2)) that nobody sees until it is moved to its place; it vanishes with its last descriptor.
 * It is made as the last container asked for it and serves one that asks for exactly the same, option by option, and for
 * nothing else below /dev; any other gets its own, made in place (container-root.ts). Hence it never has to be altered.
 */
import * as sys from "sys";
import { check } from "../../../native/runtime/check.ts";
import { makeDirectories } from "../../../native/runtime/files.ts";
import type { GuestMount } from "../../../src/protocol/guest/messages.ts";
import { STAGING } from "../guest-paths.ts";
import { makeNodes } from "../root/device-nodes.ts";
import { parseMountOptions } from "../root/mount-options.ts";

/** What of a container's root decides about its /dev: see there. */
export interface DeviceMounts {
  readonly mounts: readonly GuestMount[];
  readonly sharedMemory: string;
}

/** A /dev, and all mounts of the container that it was made for. */
export interface PreparedDevices extends DeviceMounts {
  readonly tree: number;
}

const DEVICES = "/dev";
const SHARED = "/dev/shm";
/** What can be made ahead, by place. The shared memory is a place to mount it at. */
const TYPES: ReadonlyMap<string, string> = new Map([
  [DEVICES, "tmpfs"],
  ["/dev/pts", "devpts"],
  ["/dev/mqueue", "mqueue"],
  [SHARED, "tmpfs"],
]);

/** Whether a mount's place is in a prepared /dev already. */
export function isMadeAhead({ destination }: GuestMount): boolean {
  return destination !== SHARED && TYPES.has(destination);
}

/** The mounts that make up /dev, itself first, if all of them can be made ahead; else nothing. */
function deviceMounts({ mounts, sharedMemory }: DeviceMounts): readonly GuestMount[] {
  const inside = mounts.filter(({ destination }) => !isElsewhere(destination));
  const places = new Set(inside.map(({ destination }) => destination));
  const usual = inside[0]?.destination === DEVICES && places.size === inside.length && inside.every(isUsual);
  // without a shared one, the memory at /dev/shm is the container's own
  return usual && (sharedMemory !== "" || !places.has(SHARED)) ? inside : [];
}

function isUsual(mount: GuestMount): boolean {
  if (TYPES.get(mount.destination) !== mount.type) return false;
  const { bind, propagation } = parseMountOptions(mount.options);
  return !bind && propagation === 0;
}

/** Surely not in /dev: neither by its name, nor by a part of it that is no name. */
function isElsewhere(destination: string): boolean {
  return !destination.startsWith(DEVICES) && !destination.includes("//") && !destination.includes("/.");
}

/**
 * Whether prepared devices are what a container asks for: its mounts begin with those that they were made for, as far as
 * /dev goes in all words, and the rest are elsewhere. Loops, for it is asked while somebody waits.
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
  // of the shared memory there is only the place
  if (made.destination === SHARED) return isUsual(mount);
  if (made.source !== mount.source || made.options.length !== mount.options.length) return false;
  for (let index = 0; index < made.options.length; index++) {
    if (made.options[index] !== mount.options[index]) return false;
  }
  return true;
}

/** Makes a /dev as `like` has it. Undefined if it cannot be made ahead, or not at all: then its container tells why. */
export function prepareDevices(like: DeviceMounts): PreparedDevices | undefined {
  const mounts = deviceMounts(like);
  if (mounts.length === 0) return undefined;
  const mask = sys.umask(0);
  try {
    makeDirectories(STAGING);
    // of a child that was killed here
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
  // it is the sandbox's, and mounted when that is known
  if (destination === SHARED) return;
  const { flags, data } = parseMountOptions(options);
  check(sys.mount(source === "" ? type : source, place, type, flags, data), `mount ${type}`, place);
}
