/**
 * The time of day with fractions of a millisecond.
 *
 * Counts by the monotonic clock, whose steps are finer, and follows the clock of the day when that was set: clock_gettime(2).
 */

/** So far the two may be apart before the clock of the day counts. */
const MOST_DRIFT_MS = 5;

/** Returns a function that gives milliseconds since the epoch. */
export function fineClock(
  day: () => number = Date.now,
  monotonic: () => number = () => performance.now(),
): () => number {
  let base = day() - monotonic();
  return () => {
    const count = monotonic();
    const now = day();
    if (Math.abs(now - (base + count)) > MOST_DRIFT_MS) base = now - count;
    return Math.round((base + count) * 1000) / 1000;
  };
}
