/**
 * Signals: signalfd(2), sigprocmask(2), sigaction(2) (signals.c).
 */

declare module "sys" {
  /** Blocks the signals and makes a non-blocking signalfd(2) for them. */
  export function signalfd(signals: readonly number[]): Descriptor;
  /** One signal, as signalfd(2) describes it. */
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
  /** Sets every signal to its default action and unblocks it. `clone` does the same in the child. */
  export function resetSignals(): Result;
  /** Ignores a signal. SIG_IGN survives execve, but `clone` resets it in the child. The runtime ignores SIGPIPE. */
  export function ignoreSignal(signal: number): Result;
}
