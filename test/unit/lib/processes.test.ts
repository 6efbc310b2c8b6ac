/** What /proc says of processes, and how one is told from a later one with its pid. */
import { describe, expect, it } from "vitest";
import { isAlive, parseProcessStat, processStat } from "../../../src/lib/processes.ts";

describe("a process", () => {
  it("is alive under its own start time only", async () => {
    const { pid } = process;
    const startTime = (await processStat(pid))?.startTime ?? 0;
    expect(startTime).toBeGreaterThan(0);
    expect(await isAlive({ pid, startTime })).toBe(true);
    expect(await isAlive({ pid, startTime: startTime + 1 })).toBe(false);
    expect(await isAlive({ pid: 0x7fff_ffff, startTime: 1 })).toBe(false);
  });

  it("may have any name", () => {
    const fields = `Z 1 2${" 0".repeat(16)} 77 0`;
    expect(parseProcessStat(`12 (a) b (c ) ${fields}`)).toEqual({ state: "Z", startTime: 77 });
    expect(parseProcessStat("")).toBeUndefined();
  });
});
