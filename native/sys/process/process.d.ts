/**
 * Processes and namespaces: clone(2), execve(2), waitpid(2), kill(2), pidfd_open(2), unshare(2) (process.c).
 */

declare module "sys" {
  /**
   * clone(2) of the whole process, as fork(2) does it: 0 in the child, which goes on in JavaScript; the pid in the
   * parent. `flags` may hold `CLONE_NEW*` and `CLONE_PARENT`, nothing else. In the child all signals are at their
   * default and unblocked. `cgroupFd` ≥ 0 starts the child in that cgroup2 directory (CLONE_INTO_CGROUP).
   * Use `cloneChild` of native/runtime/child.ts: the child must never return into the loop.
   */
  export function clone(flags: number, cgroupFd?: number): Result;
  /**
   * vfork(2) with the flags and the cgroup of {@link clone}, for a child that hands its work over to a new process. Goes
   * on as the new process: a sibling of the caller, in the caller's memory. Returns its own pid, as the caller's PID
   * namespace counts it. The caller itself does not return: when the new process has executed or ended, the caller closes
   * its descriptors and, a moment later, ends with status 0. So the memory is not torn down within the execve.
   */
  export function handOver(flags: number, cgroupFd?: number): Result;
  /** _exit(2). */
  export function _exit(status: number): never;
  /** execve(2) of exactly `path`. Returns only on failure. Descriptors made by `sys` are closed by it. */
  export function execve(path: string, argv: readonly string[], env: readonly string[]): Failure;
  /** waitpid(2): [pid, exit code or -1, signal or 0]. With WNOHANG, pid 0 means that no child has ended; < 0 is -errno. */
  export function waitpid(pid: number, options: number): [pid: number, code: number, signal: number];
  /** kill(2). */
  export function kill(pid: number, signal: number): Result;
  /** pidfd_open(2): readable when the process has ended. */
  export function pidfdOpen(pid: number): Descriptor;
  /** pidfd_send_signal(2). */
  export function pidfdSendSignal(pidfd: number, signal: number): Result;
  /** getpid(2). */
  export function getpid(): number;
  /** getppid(2). */
  export function getppid(): number;
  /** setsid(2). */
  export function setsid(): Result;
  /** setpgid(2). */
  export function setpgid(pid: number, group: number): Result;
  /** unshare(2). */
  export function unshare(flags: number): Result;
  /** setns(2) with a namespace descriptor (`type` 0 or CLONE_NEW*) or a pidfd (CLONE_NEW* mask). */
  export function setns(fd: number, type: number): Result;
}
