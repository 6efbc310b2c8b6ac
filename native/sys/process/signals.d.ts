/**
 * Signals: signalfd(2), sigprocmask(2), sigaction(2) (signals.c).
 */

declare module "sys" {
  /** Blocks the signals and makes a non-blocking signalfd(2) for them. */
  export function signalfd(signals: readonly number[]): Descriptor;
  /** What a signalfd tells of one signal. */
  export interface SignalInfo {
    readonly signal: number;
    readonly pid: number;
    readonly uid: number;
    readonly code: number;
    readonly status: number;
  }
  /** The next signal of a signalfd; -EAGAIN when there is none. Several SIGCHLD may be merged into one. */
  export function readSignal(fd: number): SignalInfo | Failure;
  /** sigprocmask(2) SIG_BLOCK. */
  export function blockSignals(signals: readonly number[]): Result;
  /** Every signal to its default action and unblocked; `fork` does it in the child by itself. */
  export function resetSignals(): Result;
  /** Ignores a signal (SIG_IGN survives execve; a forked child is reset). The runtime ignores SIGPIPE. */
  export function ignoreSignal(signal: number): Result;
}
