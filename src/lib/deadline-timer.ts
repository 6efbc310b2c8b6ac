/**
 * Timers for deadlines, in a process that may itself be stopped for a while.
 *
 * A daemon that was stopped (SIGSTOP, a debugger, a frozen host) wakes to timers that are long due, and to answers that came
 * meanwhile and were not read. Node runs the timers first. So a timer that is much too late is no proof that somebody else is
 * late: it waits once more, for long enough to read what has come. The clock is one that nobody can set.
 */

/** A main loop that is late by more than this was stopped, or might as well have been. */
const STALL_MS = 1_000;
/** What has come meanwhile is read within this time. */
const SECOND_WAIT_MS = 1_000;

/** A deadline's timer; {@link clearDeadline} takes it away. */
export interface DeadlineTimer {
  timer: NodeJS.Timeout;
}

/** Calls `passed` after so many milliseconds in which this process ran. */
export function setDeadline(passed: () => void, ms: number): DeadlineTimer {
  const due = performance.now() + ms;
  const held: DeadlineTimer = {
    timer: setTimeout(() => {
      if (performance.now() - due < STALL_MS) passed();
      else held.timer = setTimeout(passed, Math.min(ms, SECOND_WAIT_MS));
    }, ms),
  };
  return held;
}

/** Harmless if it has passed. */
export function clearDeadline(held: DeadlineTimer | undefined): void {
  clearTimeout(held?.timer);
}

/** The clock that charts wait by: xstate's `clock` option. */
export const deadlineClock = {
  setTimeout: (passed: (...args: unknown[]) => void, ms: number): DeadlineTimer =>
    setDeadline(() => passed(), ms),
  clearTimeout: (held: DeadlineTimer): void => clearDeadline(held),
};

/** Milliseconds of a clock that nobody can set, for durations. What time it is, is `Date.now`. */
export function monotonicNow(): number {
  return performance.now();
}
