/**
 * Signals by number (signal(7), x86 and ARM) and what a shell makes of them. Imports nothing: charts use it, too.
 */
export const SIGINT = 2;
export const SIGKILL = 9;
export const SIGPIPE = 13;
export const SIGTERM = 15;

/** Highest number of a signal on Linux. */
export const LAST_SIGNAL = 64;

/** The exit status that a shell, runc and containerd report for what a signal has ended. */
export function signalStatus(signal: number): number {
  return 128 + signal;
}

/** How a process ended, in words: `"signal 9"` or `"status 1"`. */
export function endOf({ code, signal }: { readonly code: number; readonly signal: number }): string {
  return signal > 0 ? `signal ${signal}` : `status ${code}`;
}
