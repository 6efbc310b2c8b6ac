/** Signals to a standalone run; they are only emitted, nothing is sent. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { SIGKILL, SIGTERM } from "../../../src/lib/signals.ts";
import { RunSignals } from "../../../src/standalone/signals.ts";

let signals: RunSignals;
let passed: number[];

beforeEach(() => {
  vi.useFakeTimers();
  signals = new RunSignals();
  passed = [];
});

afterEach(() => {
  signals.close();
  vi.useRealTimers();
});

const terminate = (times: number) => {
  for (let i = 0; i < times; i++) process.emit("SIGTERM");
};

describe("signals to a command that runs", () => {
  it("are passed on; the third within three seconds kills", () => {
    signals.passTo((signal) => passed.push(signal));
    terminate(3);
    expect(passed).toEqual([SIGTERM, SIGTERM, SIGKILL]);
    expect(signals.aborted.aborted).toBe(false);
  });

  it("give the run up if the guest does not even obey SIGKILL", () => {
    signals.passTo((signal) => passed.push(signal));
    terminate(2);
    vi.advanceTimersByTime(60_000);
    expect(signals.unanswered.aborted).toBe(false);
    terminate(3);
    vi.advanceTimersByTime(10_000);
    expect(signals.unanswered.aborted).toBe(true);
  });

  it("give nothing up that ends in time", () => {
    signals.passTo((signal) => passed.push(signal));
    terminate(3);
    signals.ignore();
    vi.advanceTimersByTime(10_000);
    expect(signals.unanswered.aborted).toBe(false);
  });
});
