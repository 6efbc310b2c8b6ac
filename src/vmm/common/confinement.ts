/**
 * What a VMM's process may have of the host: a jail, limits, the group of /dev/kvm, its log.
 *
 * With a user of its own a VMM keeps no capability and lives in a jail. Program and libraries are there until it answers,
 * then nothing is. It is never plain root where the daemon names a user.
 */
import { constants } from "node:fs";
import { access, open, readFile, stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import type { Jail, SpawnFile, SpawnLimit } from "../../contracts/keeper.ts";
import type { Acceleration, VmSpec } from "../../contracts/vm.ts";
import { KVM_DEVICE, ROOT_GROUP } from "./kvm/kvm-device.ts";

const STDOUT = 1;
const STDERR = 2;
/** Most files that a VMM may have open. */
const OPEN_FILES = 65_536;

/** Where programs and their libraries are (hier(7)), and the devices that a VMM opens without KVM. */
const PROGRAM_PATHS = [
  "/usr",
  "/bin",
  "/lib",
  "/lib64",
  "/nix/store",
  "/etc/ld.so.cache",
  "/dev/null",
  "/dev/urandom",
];
/** By it the host's kernel moves the frames of a VM's NIC; only with KVM. */
export const VHOST_NET_DEVICE = "/dev/vhost-net";

/** What the host has to offer, found once. */
export interface HostFacts {
  /** Hard limit of open files that may be given on; undefined leaves the limit alone. */
  readonly maxOpenFiles: number | undefined;
  /** Group that owns /dev/kvm; undefined without it, or if it is root's, which no VMM becomes a member of. */
  readonly kvmGroup: number | undefined;
  /** The host's kernel has vhost-net. */
  readonly vhostNet: boolean;
  /** What of the host a program needs to start. */
  readonly programPaths: readonly string[];
}

/** Reads this host's. */
export async function readHostFacts(): Promise<HostFacts> {
  const limits = await readFile("/proc/self/limits", "latin1").catch(() => "");
  const hard = /^Max open files\s+\S+\s+(\d+)/m.exec(limits)?.[1];
  const kvm = await stat(KVM_DEVICE).catch(() => undefined);
  const there = await Promise.all(PROGRAM_PATHS.map(exists));
  return {
    maxOpenFiles: hard === undefined ? undefined : Math.min(Number(hard), OPEN_FILES),
    kvmGroup: kvm === undefined || kvm.gid === ROOT_GROUP ? undefined : kvm.gid,
    vhostNet: await opens(VHOST_NET_DEVICE),
    programPaths: PROGRAM_PATHS.filter((_, index) => there[index]),
  };
}

/** The device's file is there also where the kernel has no such module. */
async function opens(device: string): Promise<boolean> {
  try {
    await (await open(device, constants.O_RDWR)).close();
    return true;
  } catch {
    return false;
  }
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** The jail of a VMM with this program, whose links are resolved. All of it is temporary. */
export function jail(binary: string, acceleration: Acceleration, { programPaths }: HostFacts): Jail {
  const inside = programPaths.some((path) => binary.startsWith(`${path}/`));
  const sources = [
    ...programPaths,
    ...(inside ? [] : [prefixOf(binary)]),
    ...(acceleration === "kvm" ? [KVM_DEVICE] : []),
  ];
  const mounts = sources.map((source) => ({
    source,
    target: source,
    // A device is written to by whoever may open it.
    readonly: !source.startsWith("/dev/"),
    follow: false,
    temporary: true,
  }));
  return { mounts, proc: true };
}

/** The directory that a program was installed into: firmware lies in its `share`. */
function prefixOf(binary: string): string {
  const directory = dirname(binary);
  return basename(directory) === "bin" ? dirname(directory) : directory;
}

/** Whether the VMM runs as a user of its own. */
export function isConfined(spec: VmSpec): boolean {
  return spec.user !== undefined;
}

/** The groups that such a VMM is in. */
export function groups(spec: VmSpec, acceleration: Acceleration, { kvmGroup }: HostFacts): number[] {
  return acceleration === "kvm" && kvmGroup !== undefined && isConfined(spec) ? [kvmGroup] : [];
}

export function limits({ maxOpenFiles }: HostFacts): SpawnLimit[] {
  const core = { type: "RLIMIT_CORE", soft: 0, hard: 0 };
  if (maxOpenFiles === undefined) return [core];
  return [core, { type: "RLIMIT_NOFILE", soft: maxOpenFiles, hard: maxOpenFiles }];
}

/** Both of its outputs go to one file, which is never a link that somebody else has put there. */
export function logFiles(path: string): readonly [SpawnFile, SpawnFile] {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW;
  const file = { path, flags, mode: 0o600 };
  return [
    { fd: STDOUT, ...file },
    { fd: STDERR, ...file },
  ];
}

/** Opening it opens the descriptor's file anew, with no look at the directories above it (proc(5)). */
export function descriptorPath(fd: number): string {
  return `/proc/self/fd/${fd}`;
}
