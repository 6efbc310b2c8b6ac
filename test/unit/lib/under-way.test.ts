/** Taking down waits for what is being made. */
import { expect, test, vi } from "vitest";
import { deferred } from "../../../src/lib/async.ts";
import { UnderWay } from "../../../src/lib/under-way.ts";

test("nothing under way is settled", async () => {
  await new UnderWay().settled();
});

test("work is waited for, whether it succeeds or fails, and its caller gets how it ended", async () => {
  const underWay = new UnderWay();
  const [good, bad] = [deferred<number>(), deferred<number>()];
  const first = underWay.track(() => good.promise);
  const second = underWay.track(() => bad.promise);
  const settled = vi.fn();
  const waiting = underWay.settled().then(settled);
  good.resolve(1);
  expect(await first).toBe(1);
  expect(settled).not.toHaveBeenCalled();
  bad.reject(new Error("broken"));
  await expect(second).rejects.toThrow("broken");
  await waiting;
  expect(settled).toHaveBeenCalledOnce();
});

test("work that comes later is not waited for", async () => {
  const underWay = new UnderWay();
  const now = deferred<void>();
  void underWay.track(() => now.promise);
  const waiting = underWay.settled();
  void underWay.track(() => new Promise(() => undefined));
  now.resolve();
  await waiting;
});

test("settled work is forgotten", async () => {
  const underWay = new UnderWay();
  const work = deferred<void>();
  void underWay.track(() => work.promise);
  work.resolve();
  await underWay.settled();
  const allSettled = vi.spyOn(Promise, "allSettled");
  await underWay.settled();
  expect(allSettled).toHaveBeenCalledWith([]);
  allSettled.mockRestore();
});

test("work in turn starts when the one before has settled, and goes on after a failure", async () => {
  const underWay = new UnderWay();
  const first = deferred<void>();
  const started: string[] = [];
  const failing = underWay.inTurn(() => first.promise);
  const next = underWay.inTurn(async () => started.push("second"));
  await underWay.track(async () => started.push("beside"));
  expect(started).toEqual(["beside"]);
  first.reject(new Error("broken"));
  await expect(failing).rejects.toThrow("broken");
  await next;
  expect(started).toEqual(["beside", "second"]);
});
