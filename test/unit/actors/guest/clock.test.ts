/** A guest's clock: exchanges until it is known to be right. Times in milliseconds. */
import { describe, expect, it } from "vitest";
import { CLOCK_TOLERANCE_MS, synchronizeClock } from "../../../../src/actors/guest/clock.ts";

/** A guest whose clock is off by `offset`, behind a way that takes so long there and back. */
function guest({ offset, there, back }: { offset: number; there: number; back: number }) {
  let now = 1_000_000;
  let moved = 0;
  const asked: number[] = [];
  const warnings: unknown[] = [];
  return {
    asked,
    warnings,
    error: () => offset + moved,
    ports: {
      now: () => now,
      adjust: async (by: number) => {
        asked.push(by);
        now += there;
        moved += by;
        const answer = now + offset + moved;
        now += back;
        return answer;
      },
      logger: { debug: () => undefined, warn: (details: unknown) => void warnings.push(details) },
    },
  };
}

describe("a guest's clock", () => {
  it("is left alone if one exchange shows that it is right", async () => {
    const { ports, asked } = guest({ offset: -3, there: 1, back: 1 });
    await synchronizeClock(ports);
    expect(asked).toEqual([0]);
  });

  it("is not asked for if an answer to something else shows that it is right", async () => {
    const { ports, asked } = guest({ offset: -3, there: 1, back: 1 });
    await synchronizeClock(ports, { asked: 1_000_000, guest: 1_000_004, answered: 1_000_010 });
    expect(asked).toEqual([]);
  });

  it("is moved by what an answer to something else shows", async () => {
    const { ports, asked, error } = guest({ offset: -60, there: 1, back: 1 });
    await synchronizeClock(ports, { asked: 1_000_000, guest: 999_945, answered: 1_000_010 });
    expect(asked).toEqual([60]);
    expect(error()).toBe(0);
  });

  it.each([
    { offset: -60, there: 2, back: 2 },
    { offset: 86_400_000, there: 1, back: 6 },
    { offset: -1_700_000_000_000, there: 5, back: 0 },
    { offset: 25, there: 0, back: 9 },
  ])("is within the tolerance afterwards: $offset ms off, $there there and $back back", async (way) => {
    const { ports, error, warnings } = guest(way);
    await synchronizeClock(ports);
    expect(Math.abs(error())).toBeLessThanOrEqual(CLOCK_TOLERANCE_MS);
    expect(warnings).toEqual([]);
  });

  it("is asked again while the way is too long to tell", async () => {
    const slow = guest({ offset: 0, there: 30, back: 30 });
    const { adjust } = slow.ports;
    let rounds = 0;
    const quick = guest({ offset: 0, there: 1, back: 1 });
    await synchronizeClock({
      ...slow.ports,
      adjust: (by) => (++rounds < 4 ? adjust(by) : quick.ports.adjust(by)),
      now: () => (rounds < 4 ? slow.ports.now() : quick.ports.now()),
    });
    expect(rounds).toBeGreaterThanOrEqual(4);
  });

  it("is given up with a warning if the guest answers anything", async () => {
    const { ports, asked, warnings } = guest({ offset: 0, there: 0, back: 0 });
    let lie = 0;
    await synchronizeClock({
      ...ports,
      adjust: async (by) => {
        asked.push(by);
        lie += 777_777;
        return lie;
      },
    });
    expect(asked.length).toBeLessThan(20);
    expect(warnings).toHaveLength(1);
  });

  it("passes on why it could not be asked", async () => {
    const { ports } = guest({ offset: 0, there: 0, back: 0 });
    const adjust = () => Promise.reject(new Error("the link is down"));
    await expect(synchronizeClock({ ...ports, adjust })).rejects.toThrow("the link is down");
  });
});
