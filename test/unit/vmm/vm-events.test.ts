/** What a VMM tells costs the daemon little, also if somebody has taken the VMM over. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { VmmEvent } from "../../../src/contracts/vm.ts";
import type { RunningProcess } from "../../../src/vmm/common/running-process.ts";
import { VmEvents } from "../../../src/vmm/common/vm-events.ts";
import { diskFailure } from "../../../src/vmm/qemu/disks/disks.ts";

beforeEach(() => vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] }));
afterEach(() => vi.useRealTimers());

function watched() {
  const events = new VmEvents({ exit: undefined } as RunningProcess);
  const told: VmmEvent[] = [];
  events.events$.subscribe((event) => told.push(event));
  return { events, told };
}

describe("a VMM that is paused and resumed", () => {
  it("tells each change at once, and each once", () => {
    const { events, told } = watched();
    for (const paused of [true, true, false, true, false, false]) events.setPaused(paused);
    expect(told.map(({ type }) => type)).toEqual(["vmm.paused", "vmm.resumed", "vmm.paused", "vmm.resumed"]);
  });

  it("without end tells little of it, and in the end how it is", () => {
    const { events, told } = watched();
    for (let ms = 0; ms < 10_000; ms++) {
      for (let each = 0; each < 20; each++) events.setPaused(each % 2 === 0);
      vi.advanceTimersByTime(1);
    }
    expect(told.length).toBeLessThan(100);
    events.setPaused(true);
    vi.advanceTimersByTime(5_000);
    expect(told.at(-1)?.type).toBe("vmm.paused");
  });

  it("tells nothing after its end", () => {
    const { events, told } = watched();
    for (let each = 0; each <= 100; each++) events.setPaused(each % 2 === 0);
    events.exited({ code: 1, signal: 0 });
    vi.advanceTimersByTime(60_000);
    expect(told.at(-1)?.type).toBe("vmm.exited");
  });
});

describe("a VMM whose disks fail", () => {
  const failure = (disk: string) => ({ disk, operation: "write" as const, noSpace: false, reason: "EIO" });

  it("names as many disks as it likes, and few are told", () => {
    const { events, told } = watched();
    for (let ms = 0; ms < 10_000; ms++) {
      events.diskFailed(failure(`n${ms}`));
      vi.advanceTimersByTime(1);
    }
    expect(told.length).toBeGreaterThan(200);
    expect(told.length).toBeLessThanOrEqual(11 * 32);
  });

  it("cannot have much of its words kept", () => {
    const long = "x".repeat(400_000);
    const told = diskFailure({ operation: "write", reason: long, "node-name": long }, ["disk"]);
    expect(JSON.stringify(told).length).toBeLessThan(1_000);
  });

  it("is told of each of its disks once a second", () => {
    const { events, told } = watched();
    for (let ms = 0; ms < 3_000; ms++) {
      events.diskFailed(failure("a"));
      events.diskFailed(failure("b"));
      vi.advanceTimersByTime(1);
    }
    expect(told).toHaveLength(6);
  });
});
