import { fc, test } from "@fast-check/vitest";
import { describe, expect, it, vi } from "vitest";
import { Turns } from "../../../../src/actors/supply/turns.ts";

const never = new AbortController().signal;

describe("turns", () => {
  it("are given first come, first served, so many at a time", async () => {
    const turns = new Turns(2);
    const order: number[] = [];
    const ends = [1, 2, 3, 4].map((n) => turns.take(never).then((end) => ({ end, n: order.push(n) })));
    const first = await ends[0];
    await ends[1];
    expect([turns.running, turns.queued]).toEqual([2, 2]);
    first?.end();
    first?.end();
    await ends[2];
    expect(order).toEqual([1, 2, 3]);
    expect([turns.running, turns.queued]).toEqual([2, 1]);
  });

  it("that are given up leave no place taken", async () => {
    const turns = new Turns(1);
    const end = await turns.take(never);
    const gone = new AbortController();
    const waiting = turns.take(gone.signal);
    gone.abort();
    await expect(waiting).rejects.toMatchObject({ code: "Cancelled" });
    end();
    expect([turns.running, turns.queued]).toEqual([0, 0]);
    await expect(turns.take(gone.signal).then((last) => last())).resolves.toBeUndefined();
  });

  it("end by themselves where they may not last, and only once", async () => {
    vi.useFakeTimers();
    try {
      const turns = new Turns(1, 2_000);
      const end = await turns.take(never);
      const next = turns.take(never);
      await vi.advanceTimersByTimeAsync(1_999);
      expect(turns.queued).toBe(1);
      await vi.advanceTimersByTimeAsync(1);
      const endNext = await next;
      end();
      expect([turns.running, turns.queued]).toEqual([1, 0]);
      endNext();
      expect([turns.running, vi.getTimerCount()]).toEqual([0, 0]);
    } finally {
      vi.useRealTimers();
    }
  });

  test.prop([
    fc.array(fc.constantFrom("take", "end", "abort"), { maxLength: 80 }),
    fc.integer({ min: 1, max: 4 }),
  ])("never exceed the limit and are all given back", async (steps, limit) => {
    const turns = new Turns(limit);
    const ends: (() => void)[] = [];
    const aborts: AbortController[] = [];
    for (const step of steps) {
      if (step === "take") {
        const controller = new AbortController();
        aborts.push(controller);
        turns.take(controller.signal).then(
          (end) => ends.push(end),
          () => undefined,
        );
      } else if (step === "end") ends.shift()?.();
      else aborts.pop()?.abort();
      await Promise.resolve();
      expect(turns.running).toBeLessThanOrEqual(limit);
    }
    while (turns.running > 0) {
      await new Promise((resolve) => setImmediate(resolve));
      ends.shift()?.();
    }
    expect(turns.queued).toBe(0);
  });
});
