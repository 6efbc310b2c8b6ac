/**
 * Limits and settings of a process: prctl(2), prlimit(2), setpriority(2), sched_setaffinity(2) (limits.c).
 */

declare module "sys" {
  /** prctl(2), the options that take integers (`PR_SET_NO_NEW_PRIVS`, `PR_SET_PDEATHSIG`, …); others throw. */
  export function prctl(option: number, arg2?: number, arg3?: number, arg4?: number, arg5?: number): Result;
  /** PR_SET_NAME: the name in /proc/PID/comm, cut after 15 bytes. */
  export function setProcessName(name: string): Result;
  /** prlimit(2), setting. Values are bytes, seconds or counts; `RLIM_INFINITY` or any number ≥ 2^63 is no limit. */
  export function prlimit(
    pid: number,
    resource: number,
    soft: number | bigint,
    hard: number | bigint,
  ): Result;
  /** prlimit(2), reading: [soft, hard]. */
  export function getrlimit(pid: number, resource: number): [soft: bigint, hard: bigint] | Failure;
  /** setpriority(2) of a process: nice −20…19. */
  export function setpriority(pid: number, nice: number): Result;
  /** sched_setaffinity(2): the CPUs' numbers, each below 1024. */
  export function setAffinity(pid: number, cpus: readonly number[]): Result;
  /** This process gets what nobody else wants of processors and disks: SCHED_IDLE, IOPRIO_CLASS_IDLE. */
  export function setIdle(): Result;
}
