import { expect, it } from "vitest";
import { fineClock } from "../../../src/lib/fine-clock.ts";

it("has fractions of a millisecond, and follows a clock that was set", () => {
  const clock = { day: 1_000_000, count: 10 };
  const now = fineClock(
    () => clock.day,
    () => clock.count,
  );
  Object.assign(clock, { day: 1_000_000, count: 10.25 });
  expect(now()).toBe(1_000_000.25);
  Object.assign(clock, { day: 900_000, count: 11 });
  expect(now()).toBe(900_000);
  Object.assign(clock, { day: 900_001, count: 12.5 });
  expect(now()).toBe(900_001.5);
});
