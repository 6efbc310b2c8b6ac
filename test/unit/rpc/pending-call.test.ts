/** Giving up a call, and the moment at which all of them are given up. */
import { getEventListeners } from "node:events";
import { describe, expect, it, vi } from "vitest";
import { Ending } from "../../../src/rpc/ending.ts";
import { PendingCall } from "../../../src/rpc/pending-call.ts";

describe("a pending call", () => {
  it("tells its method when nobody waits any more, and why", () => {
    const call = new PendingCall();
    const { signal } = call;
    const reason = new Error("the caller left");
    call.giveUp(reason);
    call.giveUp(new Error("the daemon ends"));
    expect(signal.aborted).toBe(true);
    expect(signal.reason).toBe(reason);
  });

  it("tells a method that asks only afterwards", () => {
    const call = new PendingCall();
    const reason = new Error("the caller left");
    call.giveUp(reason);
    expect(call.signal.aborted).toBe(true);
    expect(call.signal.reason).toBe(reason);
  });
});

describe("an ending", () => {
  it("calls every listener once, and has one listener on its signal for all of them", () => {
    const source = new AbortController();
    const ending = new Ending(source.signal);
    const listeners = Array.from({ length: 20 }, () => vi.fn());
    for (const listener of listeners) ending.listen(listener);
    expect(getEventListeners(source.signal, "abort")).toHaveLength(1);
    expect(ending.reached).toBe(false);
    source.abort();
    expect(ending.reached).toBe(true);
    for (const listener of listeners) expect(listener).toHaveBeenCalledOnce();
  });

  it("does not call a listener that was taken away", () => {
    const source = new AbortController();
    const ending = new Ending(source.signal);
    const listener = vi.fn();
    ending.listen(listener)();
    source.abort();
    expect(listener).not.toHaveBeenCalled();
  });

  it("calls a listener at once if it has come already", () => {
    const source = new AbortController();
    const ending = new Ending(source.signal);
    source.abort();
    const listener = vi.fn();
    ending.listen(listener)();
    expect(listener).toHaveBeenCalledOnce();
    expect(new Ending(AbortSignal.abort()).reached).toBe(true);
  });
});
