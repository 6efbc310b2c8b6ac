/** One guest takes a bounded part of the daemon's time, whatever it sends, and no part of it is lost. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { Crowd } from "../../../../src/actors/guest/crowd.ts";
import { Intake } from "../../../../src/actors/guest/intake.ts";

beforeEach(() => vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));
afterEach(() => vi.useRealTimers());

/** A guest that sends as soon as it is read, and whose bytes cost so many milliseconds each time. */
function flood(costMs: number, pauseMs: number, crowd = new Crowd()) {
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
  const intake = new Intake({ link, onHeld: (ms) => held.push(ms), crowd });
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

  it("is bounded also where it comes byte by byte, and no work with it can be measured", () => {
    const { intake, link, held } = flood(0, 0);
    let reads = 0;
    for (let ms = 0; ms < 10_000; ms++) {
      for (let each = 0; each < 100 && link.reading; each++, reads++) intake.take(() => undefined);
      vi.advanceTimersByTime(1);
    }
    expect(held.length).toBeGreaterThan(10);
    // of the million that would have come
    expect(reads).toBeLessThan(450_000);
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

  it("takes half of the time at most together with nineteen others, and a guest that asks for little never waits", () => {
    const crowd = new Crowd();
    const hostile = Array.from({ length: 20 }, () => flood(0, 0, crowd));
    const innocent = flood(0, 0, crowd);
    let used = 0;
    const until = performance.now() + 30_000;
    const settled = performance.now() + 10_000;
    let asked = 0;
    while (performance.now() < until) {
      for (const { link, intake } of hostile) {
        if (!link.reading) continue;
        intake.take(() => vi.advanceTimersByTime(5));
        if (performance.now() > settled) used += 5;
      }
      if (performance.now() - asked > 200) {
        asked = performance.now();
        innocent.intake.take(() => vi.advanceTimersByTime(1));
      }
      vi.advanceTimersByTime(1);
    }
    expect(used / 20_000).toBeGreaterThan(0.15);
    expect(used / 20_000).toBeLessThan(0.6);
    expect(innocent.held).toEqual([]);
    for (const { intake } of hostile) intake.end();
    // who is alone has its whole share again, after a while
    const last = flood(5, 0, crowd);
    const before = last.run(15_000);
    expect(last.run(10_000) - before).toBeGreaterThan(1_500);
  });

  it("is not touched once its link has ended", () => {
    const { intake, link } = flood(0, 0);
    intake.take(() => vi.advanceTimersByTime(60_000));
    intake.end();
    vi.advanceTimersByTime(60_000);
    expect(link.reading).toBe(false);
  });
});
