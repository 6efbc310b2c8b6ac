/**
 * The ratio of two medians with a bootstrap interval: how much slower or faster, and whether that may be chance.
 *
 * Percentile bootstrap (Efron): both lists are drawn again with replacement, independently; the middle 95 % of the
 * ratios are the interval. If the interval holds 1, the difference is not significant. Pure; the same seed gives the same
 * interval.
 */
import { type Random, seeded } from "./random.ts";
import { median, percentile } from "./summary.ts";

/** The ratio of two medians. */
export interface Ratio {
  readonly ratio: number;
  /** The 95 % interval; null where there are too few samples for one. */
  readonly interval: { readonly low: number; readonly high: number } | null;
  /** The interval does not hold 1. */
  readonly significant: boolean;
}

const RESAMPLES = 4_000;
const CONFIDENCE = 0.95;
/** Below this a resampled median says nothing: the interval would look narrower than it is. */
const FEWEST = 5;

/**
 * median(`samples`) ÷ median(`base`); null if either list is empty. With fewer than 5 samples on a side it
 * has none and nothing is significant.
 */
export function ratioOfMedians(
  samples: readonly number[],
  base: readonly number[],
  seed: number,
): Ratio | null {
  if (samples.length === 0 || base.length === 0) return null;
  const ratio = median(samples) / median(base);
  if (samples.length < FEWEST || base.length < FEWEST) return { ratio, interval: null, significant: false };
  const random = seeded(seed);
  const ratios = Array.from(
    { length: RESAMPLES },
    () => median(resample(samples, random)) / median(resample(base, random)),
  );
  const low = percentile(ratios, (1 - CONFIDENCE) / 2);
  const high = percentile(ratios, (1 + CONFIDENCE) / 2);
  return { ratio, interval: { low, high }, significant: low > 1 || high < 1 };
}

/** `0.52× (0.48 to 0.57)`, and a word if that could be chance. */
export function describeRatio({ ratio, interval, significant }: Ratio): string {
  if (interval === null) return `${ratio.toFixed(2)}× (too few samples for an interval)`;
  const text = `${ratio.toFixed(2)}× (95 %: ${interval.low.toFixed(2)} to ${interval.high.toFixed(2)})`;
  return significant ? text : `${text}, not significant`;
}

function resample(samples: readonly number[], random: Random): number[] {
  return samples.map(() => samples[Math.floor(random() * samples.length)] ?? Number.NaN);
}
