import { expect, it } from "vitest";
import { readCgroupStats } from "../../../../src/actors/guest/cgroup-stats.ts";
import { sumOfStats } from "../../../../src/actors/sandbox/pod-stats.ts";

const one = readCgroupStats({
  "cpu.stat": "usage_usec 10\n",
  "memory.current": "100",
  "memory.max": "1000",
  "pids.current": "2",
  "pids.max": "max",
  "io.stat": "8:0 rbytes=5\n",
});
const other = readCgroupStats({
  "cpu.stat": "usage_usec 5\nuser_usec 1\n",
  "memory.current": "1",
  "memory.max": "24",
  "pids.current": "1",
});

it("a pod uses what its containers use together", () => {
  const { cpu, memoryUsage, pids, io } = sumOfStats([one, other]);
  expect([...cpu]).toEqual([
    ["usage_usec", 15n],
    ["user_usec", 1n],
  ]);
  expect(memoryUsage).toMatchObject({ current: 101n, limit: 1024n });
  expect(pids).toEqual({ current: 3n, limit: undefined });
  expect(io).toHaveLength(1);
});

it("a pod has a limit only if all of its containers have one", () => {
  const unlimited = readCgroupStats({ "memory.max": "max" });
  expect(sumOfStats([one, unlimited]).memoryUsage.limit).toBeUndefined();
});

it("a pod without containers uses nothing", () => {
  expect(sumOfStats([]).memoryUsage.current).toBe(0n);
});

it("a guest's files are read up to a bound: what is beyond it costs nothing", () => {
  const endless = Array.from({ length: 100_000 }, (_, index) => `k${index} 1`).join("\n");
  const { cpu, memory, io } = readCgroupStats({
    "cpu.stat": endless,
    "memory.stat": endless,
    "io.stat": `8:0 ${endless.replaceAll("\n", " ").replaceAll(" 1", "=1")}`,
  });
  for (const values of [cpu, memory, io[0]?.values ?? new Map()]) {
    expect(values.size).toBeGreaterThan(100);
    expect(values.size).toBeLessThan(5_000);
  }
});
