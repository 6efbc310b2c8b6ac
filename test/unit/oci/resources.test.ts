import { describe, expect, test } from "vitest";
import { translateResources, weightOfShares } from "../../../src/oci/spec/resources.ts";
import { codeOf } from "../../support/code-of.ts";

describe("resources", () => {
  test.each([
    [{ memory: { limit: -1 } }, { "memory.max": "max" }],
    [{ memory: { limit: 0, reservation: 4096 } }, { "memory.low": "4096" }],
    [{ memory: { limit: 4096, swap: 12_288 } }, { "memory.max": "4096", "memory.swap.max": "8192" }],
    [{ memory: { limit: 4096, swap: -1 } }, { "memory.max": "4096", "memory.swap.max": "max" }],
    [{ cpu: { cpus: "0-2,5,9-10", mems: "3-3" } }, { "cpuset.cpus": "0-2,5,9-10", "cpuset.mems": "3-3" }],
    [{ hugepageLimits: [{ pageSize: "2MB", limit: 4096 }] }, { "hugetlb.2MB.max": "4096" }],
    [{ cpu: { quota: -1, period: 100_000 } }, { "cpu.max": "max 100000" }],
    [{ cpu: { quota: 25_000 } }, { "cpu.max": "25000 100000" }],
    [{ cpu: { shares: 1024 } }, { "cpu.weight": "39" }],
    [{ pids: { limit: 100 } }, { "pids.max": "100" }],
    [{ pids: { limit: -1 } }, { "pids.max": "max" }],
    [{ unified: { "memory.high": "1000" } }, { "memory.high": "1000" }],
    [{ memory: null, cpu: null, pids: null }, {}],
  ])("%j become %j", (resources, cgroup) => {
    expect(translateResources(resources)).toEqual({ cgroup, warnings: [] });
  });

  test.each<[object, string]>([
    [{ memory: { swap: 4096 } }, "linux.resources.memory.swap): 4096 has no linux.resources.memory.limit"],
    [
      { memory: { limit: 8192, swap: 4096 } },
      "linux.resources.memory.swap): 4096 is below the memory limit 8192",
    ],
    [{ cpu: { cpus: "all" } }, 'linux.resources.cpu.cpus): "all" is not a list'],
    [{ cpu: { cpus: "0,5-2" } }, "linux.resources.cpu.cpus): the range 5-2 runs backwards"],
    [{ cpu: { mems: "10-9" } }, "linux.resources.cpu.mems): the range 10-9 runs backwards"],
    [{ unified: { "memory.max": "" } }, "linux.resources.unified.memory.max): is empty"],
    [{ unified: { "memory.max": " \n" } }, "linux.resources.unified.memory.max): is empty"],
    [
      { hugepageLimits: [{ pageSize: "big" }] },
      'linux.resources.hugepageLimits[0].pageSize "big"): must be like 2MB',
    ],
  ])("%j is refused by field and value", (resources, message) => {
    expect(() => translateResources(resources)).toThrow(message);
  });

  test("shares span the whole range of weights", () => {
    expect([2, 1024, 262_144].map(weightOfShares)).toEqual([1, 39, 10_000]);
    expect([0, 1, 1_000_000].map(weightOfShares)).toEqual([1, 1, 10_000]);
  });

  test.each(["../memory.max", "cgroup.procs", "cgroup.kill", "memory"])("the file %s is refused", (name) => {
    expect(codeOf(() => translateResources({ unified: { [name]: "1" } }))).toBe("InvalidSpec");
  });
});
