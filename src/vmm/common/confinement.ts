/**
 * What a VMM's process may have of the host: capabilities, limits, the group of /dev/kvm, its log.
 *
 * With a user of its own a VMM keeps no capability. It is never plain root where the daemon names a user.
 */
import { constants } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import type { SpawnFile, SpawnLimit } from "../../contracts/keeper.ts";
import type { Acceleration, VmSpec } from "../../contracts/vm.ts";

const STDOUT = 1;
const STDERR = 2;
/** Most files that a VMM may have open. */
const OPEN_FILES = 65_536;

/** What the host has to offer, found once. */
export interface HostFacts {
  /** Hard limit of open files that may be given on; undefined leaves the limit alone. */
  readonly maxOpenFiles: number | undefined;
  /** Group that owns /dev/kvm; undefined without it. */
  readonly kvmGroup: number | undefined;
}

/** Reads this host's. */
export async function readHostFacts(): Promise<HostFacts> {
  const limits = await readFile("/proc/self/limits", "latin1").catch(() => "");
  const hard = /^Max open files\s+\S+\s+(\d+)/m.exec(limits)?.[1];
  const kvm = await stat("/dev/kvm").catch(() => undefined);
  return {
    maxOpenFiles: hard === undefined ? undefined : Math.min(Number(hard), OPEN_FILES),
    kvmGroup: kvm?.gid,
  };
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
export function logFiles(path: string): SpawnFile[] {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NOFOLLOW;
  return [STDOUT, STDERR].map((fd) => ({ fd, path, flags, mode: 0o600 }));
}

/** Opening it opens the descriptor's file anew, with no look at the directories above it (proc(5)). */
export function descriptorPath(fd: number): string {
  return `/proc/self/fd/${fd}`;
}
