/** The benchmark's statistics: percentiles, distributions, slopes, and ratios with an honest interval. */
import { expect, test } from "vitest";
import { seeded, shuffled } from "../../../bench/stats/random.ts";
import { describeRatio, ratioOfMedians } from "../../../bench/stats/ratio.ts";
import { cdf, median, percentile, slope, summarize } from "../../../bench/stats/summary.ts";

const around = (middle: number, spread: number, count: number, seed: number): number[] => {
  const random = seeded(seed);
  return Array.from({ length: count }, () => middle + (random() - 0.5) * spread);
};

test("percentiles are interpolated between order statistics, whatever the order of the samples", () => {
  expect(percentile([4, 1, 3, 2], 0.5)).toBe(2.5);
  expect(percentile([10, 20, 30, 40, 50], 0.9)).toBeCloseTo(46);
  expect(median([7])).toBe(7);
});

test("no samples have no figures", () => {
  expect(summarize([])).toBeNull();
  expect(ratioOfMedians([], [1, 2, 3], 1)).toBeNull();
  expect(() => median([])).toThrow(RangeError);
});

test("a summary has the ends, the middle and the tail", () => {
  const summary = summarize(Array.from({ length: 101 }, (_, index) => index));
  expect(summary).toEqual({ n: 101, p50: 50, p90: 90, p99: 99, min: 0, max: 100, mean: 50 });
});

test("the distribution ends at 1 and has one point for each value", () => {
  expect(cdf([3, 1, 1, 2])).toEqual([
    { value: 1, share: 0.5 },
    { value: 2, share: 0.75 },
    { value: 3, share: 1 },
  ]);
});

test("the slope is that of the line through the points", () => {
  const points = [1, 5, 10, 50].map((x) => ({ x, y: 47 + 0.1 * x }));
  expect(slope(points)).toBeCloseTo(0.1);
  expect(slope([{ x: 1, y: 2 }])).toBeNull();
});

test("a shuffle keeps every item and is the same for the same seed", () => {
  const items = Array.from({ length: 50 }, (_, index) => index);
  const order = shuffled(items, seeded(7));
  expect([...order].sort((a, b) => a - b)).toEqual(items);
  expect(order).not.toEqual(items);
  expect(shuffled(items, seeded(7))).toEqual(order);
  expect(shuffled(items, seeded(8))).not.toEqual(order);
});

test("a clear difference is significant, and its interval holds the ratio", () => {
  const ratio = ratioOfMedians(around(70, 10, 30, 1), around(140, 20, 30, 2), 42);
  expect(ratio?.ratio).toBeCloseTo(0.5, 1);
  expect(ratio?.significant).toBe(true);
  expect(ratio?.interval?.low).toBeLessThan(ratio?.ratio ?? 0);
  expect(ratio?.interval?.high).toBeGreaterThan(ratio?.ratio ?? Number.POSITIVE_INFINITY);
});

test("a difference within the noise is called not significant", () => {
  const ratio = ratioOfMedians(around(100, 80, 20, 3), around(102, 80, 20, 4), 42);
  expect(ratio?.significant).toBe(false);
  expect(ratio === null ? "" : describeRatio(ratio)).toContain("not significant");
});

test("too few samples are never significant, however far apart", () => {
  const ratio = ratioOfMedians([1, 1, 1], [100, 100, 100], 42);
  expect(ratio).toMatchObject({ ratio: 0.01, interval: null, significant: false });
  expect(ratio === null ? "" : describeRatio(ratio)).toContain("too few samples");
});

test("the interval is the same for the same seed", () => {
  const [a, b] = [around(70, 30, 12, 1), around(90, 30, 12, 2)];
  expect(ratioOfMedians(a, b, 5)).toEqual(ratioOfMedians(a, b, 5));
});
