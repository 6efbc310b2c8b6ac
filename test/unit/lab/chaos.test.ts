/** What chaos finds must be true: its counters see every line that is lost, doubled or cut. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type Cause, checkLog, expectedCodes, TERMINATED } from "../../../lab/chaos/containers.ts";
import { Outages } from "../../../lab/chaos/outages.ts";
import { checkLines, counted, linesOfLog, PAD, wholeLines } from "../../../lab/chaos/streams.ts";

const lines = (...numbers: number[]) => numbers.map((number) => `${number}${PAD}`);

describe("a counter in a stream", () => {
  it("is whole if every line is there once, in order", () => {
    const text = counted(100);
    const check = checkLines(wholeLines(text), { count: 100 });
    expect(check).toMatchObject({ lines: 100, bytes: text.length, lost: 0, doubled: 0, wrong: [] });
  });

  it("tells how many lines are lost, in the middle and at the end", () => {
    expect(checkLines(lines(0, 1, 5, 6), { count: 10 })).toMatchObject({ lost: 6, doubled: 0 });
    expect(checkLines([], { count: 3 })).toMatchObject({ lost: 3 });
  });

  it("tells how many lines came twice", () => {
    expect(checkLines(lines(0, 1, 2, 1, 2, 3), { count: 4 })).toMatchObject({ lost: 0, doubled: 2 });
    expect(checkLines(lines(0, 1, 2), { count: 2 })).toMatchObject({ doubled: 1 });
  });

  it("takes a line with another byte for lost", () => {
    expect(checkLines([`0${PAD}`, `1${PAD.replace("fox", "fix")}`], {})).toMatchObject({ lost: 1 });
  });

  it("may be cut only where that is said, and only at its end", () => {
    const cut = [...lines(0, 1), `2${PAD.slice(0, 7)}`];
    expect(checkLines(cut, { cut: true })).toMatchObject({ lost: 0, doubled: 0 });
    expect(checkLines(cut, {})).toMatchObject({ lost: 1 });
    expect(checkLines([...lines(0), PAD.slice(9), ...lines(2)], { readers: 1 })).toMatchObject({
      lost: 0,
      doubled: 0,
    });
    expect(checkLines([...lines(0), PAD.slice(9), ...lines(2)], {}).lost).toBeGreaterThan(0);
    expect(checkLines([PAD.slice(9), PAD.slice(9), ...lines(2)], { readers: 1 }).lost).toBeGreaterThan(0);
    expect(checkLines([...lines(0), ...lines(2)], { readers: 1 }).lost).toBeGreaterThan(0);
    expect(checkLines([`0${PAD.slice(0, 7)}`, ...lines(1)], { cut: true }).lost).toBeGreaterThan(0);
  });
});

it("a log is read by stream, and parts of a line are put together", () => {
  const log = ["stdout F one", "stderr F oops", "stdout P tw", "stdout F o", ""].map((rest) =>
    rest === "" ? "" : `2026-01-01T00:00:00Z ${rest}`,
  );
  expect(linesOfLog(log.join("\n"))).toEqual({ stdout: ["one", "two"], stderr: ["oops"] });
});

it("an exit code is expected by what was done to the container, and no other is", () => {
  expect(expectedCodes("burst", new Set())).toEqual([5]);
  expect(expectedCodes("counter", new Set(["vmm"]))).toEqual([137]);
  expect(expectedCodes("counter", new Set())).toEqual([]);
  expect(expectedCodes("counter", new Set(["keeper"]))).toContain(255);
});

it("an outage concerns calls that it overlaps, and a VM's only those of its pod", () => {
  const outages = new Outages();
  const from = performance.now();
  const back = outages.begin("daemon");
  outages.begin("vmm", "a");
  expect([...outages.during(from, "a")]).toEqual(["daemon", "vmm"]);
  expect([...outages.during(from, "b")]).toEqual(["daemon"]);
  back();
  expect(outages.awayMs(from)).toBeGreaterThanOrEqual(0);
  expect([...outages.during(performance.now() + 10_000, "b")]).toEqual([]);
});

describe("a counter that was told to end", () => {
  async function lost(given: readonly string[], ...causes: Cause[]): Promise<number> {
    const directory = await mkdtemp(join(tmpdir(), "blazar-chaos-log-"));
    try {
      const file = join(directory, "counter.log");
      const text = given.map((line) => `2026-01-01T00:00:00Z stdout F ${line}\n`).join("");
      await writeFile(file, text);
      return (await checkLog(file, "counter", TERMINATED, new Set(causes))).stdout.lost;
    } finally {
      await rm(directory, { recursive: true });
    }
  }

  it("has said so, unless containerd has died and its last words were in the FIFO", async () => {
    expect(await lost([...lines(0, 1), "bye 2"])).toBe(0);
    expect(await lost(lines(0, 1))).toBeGreaterThan(0);
    expect(await lost(lines(0, 1), "containerd")).toBe(0);
  });

  it("has lost what is missing before its last words, whoever has died", async () => {
    expect(await lost([...lines(0, 1), "bye 4"], "containerd")).toBe(2);
    expect(await lost(lines(0, 3), "containerd")).toBe(2);
  });
});
