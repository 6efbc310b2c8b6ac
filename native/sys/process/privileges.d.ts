/**
 * Ids, capabilities and system call filters: setuid(2), capabilities(7), seccomp(2) (privileges.c).
 */

declare module "sys" {
  /** getuid(2), geteuid(2), getgid(2), getegid(2). */
  export function getids(): { uid: number; euid: number; gid: number; egid: number };
  /** setuid(2), of the one thread there is. */
  export function setuid(uid: number): Result;
  /** setgid(2). */
  export function setgid(gid: number): Result;
  /** setresuid(2); 0xffffffff leaves an id as it is. */
  export function setresuid(real: number, effective: number, saved: number): Result;
  /** setresgid(2). */
  export function setresgid(real: number, effective: number, saved: number): Result;
  /** setgroups(2); the empty list drops them all. */
  export function setgroups(groups: readonly number[]): Result;
  /** A set of capabilities, bit n for capability n (linux/capability.h). */
  export type CapabilityMask = number | bigint;
  /** capset(2) for the calling process. */
  export function capset(
    effective: CapabilityMask,
    permitted: CapabilityMask,
    inheritable: CapabilityMask,
  ): Result;
  /** capget(2). */
  export function capget(): { effective: bigint; permitted: bigint; inheritable: bigint } | Failure;
  /** Drops from the bounding set all that is not in `keep` (PR_CAPBSET_DROP). Needs CAP_SETPCAP. */
  export function limitBounding(keep: CapabilityMask): Result;
  /** Clears the ambient set, then raises `mask` (PR_CAP_AMBIENT). */
  export function setAmbient(mask: CapabilityMask): Result;
  /** seccomp(2) SECCOMP_SET_MODE_FILTER with an array of struct sock_filter. Returns a listener descriptor if asked for. */
  export function seccompFilter(program: ArrayBuffer, flags: number): Result;
}
