/** The time scale of the page's slider and timeline. */
import { fc, test } from "@fast-check/vitest";
import { expect } from "vitest";
import type { HistoryEntry } from "../../../src/contracts/inspection.ts";
import { TimeScale } from "../../../web/model/time-scale.ts";

const effect = (id: number, at: number, ms?: number): HistoryEntry => ({
  id,
  kind: "effect",
  name: "boot",
  at,
  ...(ms === undefined ? {} : { ms }),
});

test("what was done keeps its proportions", () => {
  const scale = TimeScale.of([effect(1, 0, 100), effect(2, 100, 300)], 0, 400);
  expect(scale.place(100)).toBeCloseTo(0.25);
  expect(scale.place(250)).toBeCloseTo(0.625);
  expect(scale.stretches.every(({ idle }) => !idle)).toBe(true);
});

test("three days of a pod's life do not hide the two seconds of its start and its end", () => {
  const days = 3 * 24 * 3_600_000;
  const scale = TimeScale.of([effect(1, 0, 2_000), effect(2, days, 500)], 0, days + 500);
  const idle = scale.stretches.filter((stretch) => stretch.idle);
  expect(idle).toHaveLength(1);
  expect(idle[0]).toMatchObject({ from: 2_000, to: days });
  expect(scale.place(2_000)).toBeCloseTo(0.76);
  expect(scale.place(days) - scale.place(2_000)).toBeCloseTo(0.05);
});

test("a wait that belongs to the start is not drawn short", () => {
  const scale = TimeScale.of([effect(1, 0, 50), effect(2, 50, 5_000), effect(3, 5_050, 1_000)], 0, 6_050);
  expect(scale.stretches.filter(({ idle }) => idle)).toEqual([]);
});

test("a wait that never ends does not push everything else aside", () => {
  const scale = TimeScale.of([effect(1, 0, 200), effect(2, 200)], 0, 3_600_000);
  expect(scale.place(200)).toBeGreaterThan(0.9);
});

const histories = fc.array(
  fc.tuple(fc.double({ min: 0, max: 1e6, noNaN: true }), fc.double({ min: 0, max: 1e5, noNaN: true })),
  {
    maxLength: 20,
  },
);

test.prop([histories, fc.double({ min: 0, max: 1, noNaN: true })])(
  "places never go back, and each is that of its instant",
  (spans, place) => {
    const scale = TimeScale.of(
      spans.map(([at, ms], index) => effect(index + 1, at, ms)),
      0,
      1e6,
    );
    expect(scale.place(0)).toBe(0);
    expect(scale.place(1e6)).toBeCloseTo(1);
    const instant = scale.instant(place);
    expect(instant).toBeGreaterThanOrEqual(0);
    expect(instant).toBeLessThanOrEqual(1e6);
    expect(scale.place(scale.instant(scale.place(instant)))).toBeCloseTo(scale.place(instant), 6);
    const places = scale.stretches.flatMap(({ left, right }) => [left, right]);
    expect(places).toEqual([...places].sort((a, b) => a - b));
  },
);
