/**
 * Signals by number: signal(7), for x86 and ARM. How a process has ended, as an exit status and in words.
 *
 * Must not import anything: charts use it, too.
 */
export const SIGINT = 2;
export const SIGKILL = 9;
export const SIGPIPE = 13;
export const SIGTERM = 15;

/** The highest signal of Linux. */
export const LAST_SIGNAL = 64;

/** The exit status that a shell, runc and containerd report for a process that a signal has ended. */
export function signalStatus(signal: number): number {
  return 128 + signal;
}

/** How a process ended, in words: `"signal 9"` or `"status 1"`. */
export function endOf({ code, signal }: { readonly code: number; readonly signal: number }): string {
  return signal > 0 ? `signal ${signal}` : `status ${code}`;
}
