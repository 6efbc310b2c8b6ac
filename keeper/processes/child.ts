/**
 * What a spawned process goes through between fork and execve: cgroups, limits, files, jail, privileges.
 *
 * It runs in the forked child only. It follows setsid(2), prlimit(2) and capabilities(7): the bounding set is limited while
 * CAP_SETPCAP is still there, then come groups and ids, then the capability sets. It must throw and never return half done:
 * the parent then says what failed. There is no PR_SET_PDEATHSIG: a VM outlives a keeper that crashes.
 */
import * as sys from "sys";
import { check, failure } from "../../native/runtime/check.ts";
import type { Command } from "../../native/runtime/child.ts";
import { writeControl } from "../../native/runtime/files.ts";
import { limitValue, RESOURCE_LIMITS } from "../../native/runtime/resource-limits.ts";
import { BlazarError, blazarError } from "../../src/contracts/errors.ts";
import { capabilityMask } from "../../src/protocol/guest/capabilities.ts";
import type { ProcessSpawn } from "../../src/protocol/keeper/messages.ts";
import { enterNamespaces, enterRoot, UserNamespace } from "./jail.ts";
import { outOfTheWay } from "./parked.ts";
import { listenAt } from "./sockets.ts";
import { allowSystemCalls, forbidSystemCalls } from "./system-calls.ts";
import type { Taps } from "./taps.ts";
import type { UplinkNamespaces } from "./uplinks.ts";

const LAST_DESCRIPTOR = 0x7fff_ffff;
const PRIVATE_UMASK = 0o077;

/** The soft limit of open files that the keeper itself was started with: its children get it back. */
export interface OpenFilesLimit {
  readonly soft: bigint;
  readonly hard: bigint;
}

/** What the child gets of the keeper beside what its spec says. */
export interface Given {
  /** The child's end of {@link ProcessSpawn.forkControl}. */
  readonly forkControl: number | undefined;
  /** Made in the child, for {@link ProcessSpawn.taps}. */
  readonly taps: Taps;
  /** The namespaces of {@link Jail.uplink}. */
  readonly uplink: UplinkNamespaces | undefined;
}

/** Prepares this process, a fresh fork, to become the one of `spec`. Throws BlazarErrors that name what failed. */
export function prepareChild(spec: ProcessSpawn, openFiles: OpenFilesLimit, given: Given): Command {
  const { jail } = spec;
  // Before there is a jail, which hides the processes outside.
  const users = jail?.forks === undefined ? undefined : UserNamespace.begin(jail.forks);
  check(sys.setsid(), "start a session");
  for (const path of spec.cgroups) {
    const result = sys.writeFile(path, "0", sys.O_WRONLY);
    if (result < 0) throw failure(result, "HostResource", "enter a cgroup", path);
  }
  const uplink = given.uplink && {
    user: outOfTheWay(given.uplink.user, "a user namespace"),
    network: outOfTheWay(given.uplink.network, "a network namespace"),
  };
  // Before the limits: the keeper may have more descriptors than its children may.
  placeFiles(spec, given);
  sys.prlimit(0, sys.RLIMIT_NOFILE, openFiles.soft, openFiles.hard);
  applyLimits(spec);
  adjustOomScore(spec.oomScoreAdj);
  // kept across execve(2)
  if (spec.hugePages === false) check(sys.prctl(sys.PR_SET_THP_DISABLE, 1), "do without huge pages");
  if (spec.idle === true) check(sys.setIdle(), "give way to everybody else");
  if (jail !== undefined) enterNamespaces(jail);
  placeSockets(spec);
  if (jail !== undefined) enterRoot(jail, uplink);
  users?.enter();
  const moved = sys.chdir(spec.cwd);
  if (moved < 0) throw failure(moved, "InvalidArgument", "change to a process's directory", spec.cwd);
  dropPrivileges(spec);
  sys.umask(PRIVATE_UMASK);
  if (jail !== undefined && jail.forks === undefined)
    forbidSystemCalls(jail.uplink === undefined ? "vmm" : "uplink");
  if (jail?.calls !== undefined) allowSystemCalls(jail.calls);
  return { path: spec.argv[0] ?? "", argv: spec.argv, env: spec.env };
}

function applyLimits({ rlimits }: ProcessSpawn): void {
  for (const { type, soft, hard } of rlimits) {
    const resource = RESOURCE_LIMITS[type];
    if (resource === undefined) {
      throw blazarError("InvalidArgument", "set a resource limit", "no such limit", { subject: type });
    }
    const result = sys.prlimit(0, resource, limitValue(soft), limitValue(hard));
    if (result < 0) throw failure(result, "HostResource", "set a resource limit", `${type}=${soft}:${hard}`);
  }
}

/** Lowering it takes CAP_SYS_RESOURCE, which not every host grants: the VM then keeps the keeper's score. */
function adjustOomScore(score: number | undefined): void {
  if (score === undefined) return;
  try {
    writeControl("/proc/self/oom_score_adj", String(score));
  } catch (error) {
    if (!(error instanceof BlazarError) || error.code !== "PermissionDenied") throw error;
  }
}

/** Opens everything out of the way first: a file's number may be one that the keeper uses. */
function placeFiles(spec: ProcessSpawn, { forkControl, taps }: Given): void {
  check(
    sys.closeRange(3, LAST_DESCRIPTOR, sys.CLOSE_RANGE_CLOEXEC),
    "keep the keeper's descriptors to itself",
  );
  sys.umask(0);
  const parked = new Map<number, number>();
  for (const { fd, path, flags, mode } of spec.files) parked.set(fd, park(path, flags, mode));
  if (spec.forkControl !== undefined && forkControl !== undefined)
    parked.set(spec.forkControl, outOfTheWay(forkControl, "the descriptor for forks"));
  const opened = taps.open();
  spec.taps?.forEach(({ fd }, index) => {
    const tap = opened[index] ?? -1;
    parked.set(fd, outOfTheWay(tap, "a tap"));
    sys.close(tap);
  });
  for (const fd of [0, 1, 2]) if (!parked.has(fd)) parked.set(fd, park("/dev/null", sys.O_RDWR, 0));
  for (const [fd, from] of parked) check(sys.dup2(from, fd), "place a file", `fd ${fd}`);
}

/** In the network namespace of the jail: a socket of the host's would show its links. */
function placeSockets({ sockets = [] }: ProcessSpawn): void {
  for (const socket of sockets) {
    const listener = listenAt(socket);
    check(sys.dup2(listener, socket.fd), "place a socket", socket.path);
    if (listener !== socket.fd) sys.close(listener);
  }
}

function park(path: string, flags: number, mode: number): number {
  const fd = sys.open(path, flags, mode);
  if (fd < 0) throw failure(fd, "HostResource", "open a file for a process", path);
  const parked = outOfTheWay(fd, path);
  sys.close(fd);
  return parked;
}

/** Becomes the user of the spec with its capabilities and nothing more. */
function dropPrivileges({ uid, gid, groups, capabilities }: ProcessSpawn): void {
  if (uid !== undefined) {
    const mask = capabilityMask(capabilities);
    const group = gid ?? uid;
    privileged(sys.limitBounding(mask), "limit the bounding set");
    privileged(sys.setgroups(groups), "set the supplementary groups", groups.join(","));
    privileged(sys.setresgid(group, group, group), "set the group", String(group));
    privileged(sys.prctl(sys.PR_SET_KEEPCAPS, 1), "keep capabilities across a change of user");
    privileged(sys.setresuid(uid, uid, uid), "set the user", String(uid));
    privileged(sys.capset(mask, mask, mask), "set the capabilities", capabilities.join(","));
    privileged(sys.setAmbient(mask), "set the ambient capabilities", capabilities.join(","));
  }
  check(sys.prctl(sys.PR_SET_NO_NEW_PRIVS, 1), "forbid new privileges");
}

function privileged(result: number, operation: string, subject?: string): void {
  if (result < 0) throw failure(result, "PermissionDenied", operation, subject);
}
