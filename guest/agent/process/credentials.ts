/**
 * Limits, identity and privileges of a process, applied in the child.
 *
 * Only one order works: bounding set, groups, ids, then the capability sets (capabilities(7), credentials(7)). The filter
 * of system calls comes last, so that it does not have to allow what the agent does before.
 */
import * as sys from "sys";
import { check, failure } from "../../../native/runtime/check.ts";
import { limitValue, RESOURCE_LIMITS } from "../../../native/runtime/resource-limits.ts";
import { blazarError } from "../../../src/contracts/errors.ts";
import type { GuestProcess, GuestSeccomp } from "../../../src/protocol/guest/messages.ts";

const KEEP_ID = 0xffff_ffff;

const DEFAULT_UMASK = 0o022;
/** The limit that containers have elsewhere: systemd gives it to containerd, which passes it on. The agent's is higher. */
const DEFAULT_OPEN_FILES: [soft: number, hard: number] = [1024, 524_288];

/** Applies resource limits to this process. Throws InvalidSpec. */
export function applyLimits(process: GuestProcess): void {
  if (!process.rlimits.some(({ type }) => type === "RLIMIT_NOFILE")) {
    check(sys.prlimit(0, sys.RLIMIT_NOFILE, ...DEFAULT_OPEN_FILES), "set the default limit of open files");
  }
  for (const { type, soft, hard } of process.rlimits) {
    const resource = RESOURCE_LIMITS[type];
    if (resource === undefined) {
      throw blazarError("InvalidSpec", "set a resource limit", "there is no such limit", { subject: type });
    }
    const result = sys.prlimit(0, resource, limitValue(soft), limitValue(hard));
    if (result < 0) throw failure(result, "InvalidSpec", "set a resource limit", `${type}=${soft}:${hard}`);
  }
}

/** Makes room for a process's limits. Only a process outside of the user namespace may, and what is set later is lower. */
export function raiseLimits(process: GuestProcess): void {
  for (const { type, hard } of process.rlimits) {
    const resource = RESOURCE_LIMITS[type];
    const now = resource === undefined ? -sys.EINVAL : sys.getrlimit(0, resource);
    // a wrong one is told of when it is applied
    if (resource === undefined || typeof now === "number") continue;
    const wanted = limitValue(hard);
    if (wanted > now[1]) sys.prlimit(0, resource, now[0], wanted);
  }
}

/** The steps that are left until execve(2). */
export interface LastPrivileges {
  /** Loads the filter of system calls and gives up what was kept for that. Throws. */
  finish(): void;
}

/**
 * Becomes the process's user, with its capabilities and nothing more. seccomp(2) needs CAP_SYS_ADMIN unless new privileges
 * are forbidden, so without that the capability stays permitted, though not effective, until the filter is loaded. Throws.
 */
export function applyCredentials(process: GuestProcess, seccomp: GuestSeccomp | undefined): LastPrivileges {
  const sets = process.capabilities;
  const keptFor = seccomp === undefined || process.noNewPrivileges ? 0n : SYS_ADMIN;
  if (sets !== undefined) {
    check(sys.limitBounding(sets.bounding), "limit the bounding capabilities");
  }
  if (sets !== undefined || keptFor !== 0n)
    check(sys.prctl(sys.PR_SET_KEEPCAPS, 1), "keep capabilities across a change of user");
  check(sys.setgroups(process.additionalGids), "set the supplementary groups");
  check(sys.setresgid(process.gid, process.gid, process.gid), "set the group", String(process.gid));
  check(sys.setresuid(process.uid, process.uid, process.uid), "set the user", String(process.uid));
  if (sets !== undefined) {
    setCapabilities(sets, 0n, keptFor);
    if (keptFor === 0n) check(sys.setAmbient(sets.ambient), "set the ambient capabilities");
  }
  if (process.noNewPrivileges) check(sys.prctl(sys.PR_SET_NO_NEW_PRIVS, 1), "forbid new privileges");
  sys.umask(process.umask ?? DEFAULT_UMASK);
  return { finish: () => loadFilter(process, seccomp, keptFor) };
}

const SYS_ADMIN = 1n << 21n;

type CapabilitySets = NonNullable<GuestProcess["capabilities"]>;

function setCapabilities(sets: CapabilitySets, moreEffective: bigint, morePermitted: bigint): void {
  const effective = BigInt(sets.effective) | moreEffective;
  const permitted = BigInt(sets.permitted) | morePermitted;
  check(sys.capset(effective, permitted, sets.inheritable), "set the capabilities");
}

function loadFilter(
  { capabilities, uid }: GuestProcess,
  seccomp: GuestSeccomp | undefined,
  keptFor: bigint,
): void {
  if (seccomp === undefined) return;
  // without sets of its own, the process has what its user has
  const user = uid === 0 ? undefined : NOTHING;
  const sets = capabilities ?? user;
  if (keptFor !== 0n && sets !== undefined) setCapabilities(sets, keptFor, keptFor);
  const program = sys.base64Decode(seccomp.program);
  const result = sys.seccompFilter(program, seccomp.flags);
  if (result < 0)
    throw failure(result, "InvalidSpec", "load the seccomp filter", `${program.byteLength / 8} instructions`);
  if (keptFor === 0n || sets === undefined) return;
  setCapabilities(sets, 0n, 0n);
  check(sys.setAmbient(sets.ambient), "set the ambient capabilities");
}

const NOTHING: CapabilitySets = { bounding: 0, effective: 0, permitted: 0, inheritable: 0, ambient: 0 };

/** Makes the user the owner of stdin, stdout and stderr, so that it can open /dev/stdout and the like. */
export function giveStdio(uid: number): void {
  for (const fd of [0, 1, 2]) {
    const stat = sys.fstat(fd);
    // everybody may open /dev/null, and its inode is the guest's own
    if (typeof stat === "number" || (stat.rdevMajor === 1 && stat.rdevMinor === 3)) continue;
    sys.fchown(fd, uid, KEEP_ID);
  }
}

/** `env`, with HOME from the container's passwd(5) if it has no HOME or an empty one. */
export function withHome(env: readonly string[], uid: number): string[] {
  // an empty HOME counts as none, as with runc
  const given = env.filter((entry) => entry !== "HOME=");
  if (given.some((entry) => entry.startsWith("HOME="))) return given;
  const stat = sys.stat("/etc/passwd");
  // a hostile image may have a FIFO there, and reading it would block for ever
  const regular = typeof stat !== "number" && (stat.mode & sys.S_IFMT) === sys.S_IFREG;
  const passwd = regular ? sys.readFile("/etc/passwd", 1 << 20) : "";
  const lines = typeof passwd === "string" ? passwd.split("\n") : [];
  const home = lines.map((line) => line.split(":")).find((fields) => fields[2] === String(uid))?.[5];
  return [...given, `HOME=${home === undefined || home === "" ? "/" : home}`];
}
