/**
 * How long calls may take, in milliseconds, on two busy cores that emulate; a grace period is in seconds.
 *
 * Time in which a process was away is added. A stop's bound is the promise itself (docs/specification.md).
 */
export const BOUNDS = {
  run: 60_000,
  create: 15_000,
  start: 40_000,
  exec: 40_000,
  ask: 10_000,
  output: 10_000,
  /** Beside the grace period. */
  stop: 5_000,
  graceSeconds: 3,
} as const;
