/**
 * Sums up a list of samples: percentiles, the empirical distribution, a straight line through points.
 *
 * Percentiles are by linear interpolation between order statistics (Hyndman and Fan's type 7, as in R and NumPy).
 * Pure; empty lists have no figures (null), never zero.
 */

/** Samples in short. */
export interface Summary {
  readonly n: number;
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly min: number;
  readonly max: number;
  readonly mean: number;
}

/** @param share 0 to 1. Throws RangeError for an empty list: it has no percentile. */
export function percentile(samples: readonly number[], share: number): number {
  return ofSorted(ascending(samples), share);
}

/** The middle. Throws RangeError for an empty list. */
export function median(samples: readonly number[]): number {
  return percentile(samples, 0.5);
}

/** Null if there are no samples. */
export function summarize(samples: readonly number[]): Summary | null {
  if (samples.length === 0) return null;
  const sorted = ascending(samples);
  return {
    n: sorted.length,
    p50: ofSorted(sorted, 0.5),
    p90: ofSorted(sorted, 0.9),
    p99: ofSorted(sorted, 0.99),
    min: ofSorted(sorted, 0),
    max: ofSorted(sorted, 1),
    mean: sorted.reduce((sum, value) => sum + value, 0) / sorted.length,
  };
}

/** A point of a distribution: this share of the samples is at most `value`. */
export interface CdfPoint {
  readonly value: number;
  readonly share: number;
}

/** The empirical distribution, one point for each distinct value, ascending. */
export function cdf(samples: readonly number[]): CdfPoint[] {
  const sorted = ascending(samples);
  const points = sorted.map((value, index) => ({ value, share: (index + 1) / sorted.length }));
  return points.filter(({ value }, index) => points[index + 1]?.value !== value);
}

/** The slope of the least-squares line; null where fewer than two distinct x leave it open. */
export function slope(points: readonly { readonly x: number; readonly y: number }[]): number | null {
  const mean = (of: (point: { x: number; y: number }) => number) =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length;
  const [meanX, meanY] = [mean(({ x }) => x), mean(({ y }) => y)];
  const variance = mean(({ x }) => (x - meanX) ** 2);
  if (points.length < 2 || variance === 0) return null;
  return mean(({ x, y }) => (x - meanX) * (y - meanY)) / variance;
}

function ascending(samples: readonly number[]): number[] {
  return [...samples].sort((a, b) => a - b);
}

function ofSorted(sorted: readonly number[], share: number): number {
  const position = (sorted.length - 1) * share;
  const below = sorted[Math.floor(position)];
  const above = sorted[Math.ceil(position)];
  if (below === undefined || above === undefined) throw new RangeError("no samples, no percentile");
  return below + (above - below) * (position - Math.floor(position));
}
