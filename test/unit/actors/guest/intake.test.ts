/** One guest takes a bounded part of the daemon's time, whatever it sends, and no part of it is lost. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Intake } from "../../../../src/actors/guest/intake.ts";

beforeEach(() => vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));
afterEach(() => vi.useRealTimers());

/** A guest that sends as soon as it is read, and whose bytes cost so many milliseconds each time. */
function flood(costMs: number, pauseMs: number) {
  const link = {
    reading: true,
    pause: () => {
      link.reading = false;
    },
    resume: () => {
      link.reading = true;
    },
  };
  const held: number[] = [];
  const intake = new Intake({ link, onHeld: (ms) => held.push(ms) });
  let used = 0;
  const run = (ms: number) => {
    const until = performance.now() + ms;
    while (performance.now() < until) {
      if (link.reading) {
        intake.take(() => vi.advanceTimersByTime(costMs));
        used += costMs;
      }
      vi.advanceTimersByTime(link.reading ? pauseMs : 1);
    }
    return used;
  };
  return { run, held, link, intake };
}

describe("what a guest sends", () => {
  it("takes a fifth of the time at most when the guest floods", () => {
    const { run, held } = flood(5, 0);
    const used = run(10_000);
    expect(used).toBeGreaterThan(1_500);
    expect(used).toBeLessThan(2_300);
    expect(Math.max(...held)).toBeLessThanOrEqual(300);
  });

  it("is never held up below that", () => {
    const { run, held } = flood(5, 30);
    run(10_000);
    expect(held).toEqual([]);
  });

  it("may come in a burst after a quiet time", () => {
    const { run, held } = flood(5, 0);
    run(95);
    expect(held).toEqual([]);
  });

  it("is held for a moment only, if the whole process has stood still meanwhile", () => {
    const { intake, held, link } = flood(0, 0);
    intake.take(() => vi.advanceTimersByTime(60_000));
    expect(held).toEqual([300]);
    vi.advanceTimersByTime(300);
    expect(link.reading).toBe(true);
  });

  it("is not touched once its link has ended", () => {
    const { intake, link } = flood(0, 0);
    intake.take(() => vi.advanceTimersByTime(60_000));
    intake.end();
    vi.advanceTimersByTime(60_000);
    expect(link.reading).toBe(false);
  });
});
