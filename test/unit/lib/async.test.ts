/** Waiting: what settles it, and that it leaves neither a timer nor a listener behind. */
import { getEventListeners } from "node:events";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { blazarError } from "../../../src/contracts/errors.ts";
import {
  abortable,
  cancelled,
  deferred,
  onAbort,
  pause,
  throwIfAborted,
  withDeadline,
  within,
} from "../../../src/lib/async.ts";

const what = { operation: "start the VMM", subject: "vm-1" };
const CANCELLED = { code: "Cancelled", message: "cannot start the VMM (vm-1): it was called off" };

function listenersOf(signal: AbortSignal): number {
  return getEventListeners(signal, "abort").length;
}

const unhandled: unknown[] = [];
const note = (reason: unknown) => unhandled.push(reason);

beforeEach(() => {
  vi.useFakeTimers();
  process.on("unhandledRejection", note);
});
afterEach(() => {
  vi.useRealTimers();
  process.off("unhandledRejection", note);
  unhandled.length = 0;
});

/** Node reports unhandled rejections between two turns of the event loop. */
async function expectAllHandled(): Promise<void> {
  vi.useRealTimers();
  await new Promise((resolve) => setImmediate(resolve));
  expect(unhandled).toEqual([]);
}

test("the error of a caller that gave up names the work, its subject and the reason", () => {
  expect(cancelled(what)).toMatchObject(CANCELLED);
  expect(cancelled({ operation: "wait" }, "the pod is being stopped").message).toBe(
    "cannot wait: the pod is being stopped",
  );
});

test("only an aborted signal makes throwIfAborted throw", () => {
  throwIfAborted(undefined, what);
  throwIfAborted(new AbortController().signal, what);
  expect(() => throwIfAborted(AbortSignal.abort(), what)).toThrow(expect.objectContaining(CANCELLED));
});

describe("a listener of an abort", () => {
  test("is called once, at the abort, and is then gone", () => {
    const controller = new AbortController();
    const listener = vi.fn();
    onAbort(controller.signal, listener);
    expect(listener).not.toHaveBeenCalled();
    controller.abort();
    controller.abort();
    expect(listener).toHaveBeenCalledOnce();
    expect(listenersOf(controller.signal)).toBe(0);
  });

  test("is called at once if the signal is aborted already", () => {
    const listener = vi.fn();
    onAbort(AbortSignal.abort(), listener)();
    expect(listener).toHaveBeenCalledOnce();
  });

  test("is not called after it was taken away", () => {
    const controller = new AbortController();
    const listener = vi.fn();
    onAbort(controller.signal, listener)();
    expect(listenersOf(controller.signal)).toBe(0);
    controller.abort();
    expect(listener).not.toHaveBeenCalled();
  });

  test("of no signal is never called", () => {
    const listener = vi.fn();
    onAbort(undefined, listener)();
    expect(listener).not.toHaveBeenCalled();
  });
});

describe("work that can be aborted", () => {
  test("settles as it does, and no listener is left", async () => {
    const { signal } = new AbortController();
    expect(await abortable(Promise.resolve(7), signal, what)).toBe(7);
    const failure = new Error("broken");
    await expect(abortable(Promise.reject(failure), signal, what)).rejects.toBe(failure);
    await Promise.resolve();
    expect(listenersOf(signal)).toBe(0);
  });

  test("is given up at the abort; its later failure is no unhandled rejection", async () => {
    const controller = new AbortController();
    const work = deferred<number>();
    const waiting = abortable(work.promise, controller.signal, what);
    expect(listenersOf(controller.signal)).toBe(1);
    controller.abort();
    await expect(waiting).rejects.toMatchObject(CANCELLED);
    expect(listenersOf(controller.signal)).toBe(0);
    work.reject(new Error("too late"));
    await expectAllHandled();
  });

  test("is given up at once if the signal is aborted already", async () => {
    const signal = AbortSignal.abort();
    await expect(abortable(new Promise(() => undefined), signal, what)).rejects.toMatchObject(CANCELLED);
    expect(listenersOf(signal)).toBe(0);
  });

  test("is the work itself without a signal", () => {
    const work = Promise.resolve(1);
    expect(abortable(work, undefined, what)).toBe(work);
  });
});

describe("a deadline", () => {
  const late = () => blazarError("DeadlineExceeded", "start the VMM", "no answer within 50 ms");

  test("passes: the error is made then, and not before", async () => {
    const made = vi.fn(late);
    const waiting = withDeadline(new Promise(() => undefined), 50, made);
    vi.advanceTimersByTime(49);
    expect(made).not.toHaveBeenCalled();
    vi.advanceTimersByTime(1);
    await expect(waiting).rejects.toMatchObject({ code: "DeadlineExceeded" });
  });

  test("that is met leaves no timer, whether the work succeeds or fails", async () => {
    expect(await withDeadline(Promise.resolve("done"), 50, late)).toBe("done");
    await expect(withDeadline(Promise.reject(new Error("broken")), 50, late)).rejects.toThrow("broken");
    await Promise.resolve();
    expect(vi.getTimerCount()).toBe(0);
  });

  test("that has passed makes a later failure of the work nobody's", async () => {
    const work = deferred<number>();
    const waiting = withDeadline(work.promise, 50, late);
    vi.advanceTimersByTime(50);
    await expect(waiting).rejects.toMatchObject({ code: "DeadlineExceeded" });
    work.reject(new Error("too late"));
    await expectAllHandled();
  });
});

describe("waiting for a result for a while", () => {
  test("gives the result, or the failure, that comes in time", async () => {
    expect(await within(Promise.resolve("here"), 50)).toBe("here");
    await expect(within(Promise.reject(new Error("broken")), 50)).rejects.toThrow("broken");
    await Promise.resolve();
    expect(vi.getTimerCount()).toBe(0);
  });

  test("gives undefined when the time is up", async () => {
    const work = deferred<string>();
    const waiting = within(work.promise, 50);
    vi.advanceTimersByTime(50);
    expect(await waiting).toBeUndefined();
    work.reject(new Error("too late"));
    await expectAllHandled();
  });
});

describe("a pause", () => {
  test("ends after its time, and no listener is left", async () => {
    const { signal } = new AbortController();
    const ended = vi.fn();
    const waiting = pause(50, signal).then(ended);
    await vi.advanceTimersByTimeAsync(49);
    expect(ended).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(1);
    await waiting;
    expect(listenersOf(signal)).toBe(0);
  });

  test("ends early at the abort, and no timer is left", async () => {
    const controller = new AbortController();
    const waiting = pause(50, controller.signal);
    controller.abort();
    await waiting;
    expect(vi.getTimerCount()).toBe(0);
  });

  test("ends at once if the signal is aborted already", async () => {
    await pause(50, AbortSignal.abort());
    expect(vi.getTimerCount()).toBe(0);
  });
});

describe("a deferred promise", () => {
  test("is settled from outside, once", async () => {
    const answer = deferred<number>();
    answer.resolve(1);
    answer.resolve(2);
    answer.reject(new Error("too late"));
    expect(await answer.promise).toBe(1);
  });

  test("that nobody waits for may be rejected", async () => {
    deferred().reject(new Error("nobody listens"));
    await expectAllHandled();
  });
});
