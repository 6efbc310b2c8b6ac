/** What a journal says of a VM is checked fact by fact: one that is garbage costs nothing but itself. */
import { describe, expect, it } from "vitest";
import { VmFacts } from "../../../../../src/actors/vm/adoption/vm-facts.ts";

const VM = {
  ...{ id: "pod", pid: 4711, startTime: 1, source: "clone", directory: "/run/pod" },
  ...{ shape: { vcpus: 1, memoryBytes: 2 ** 28, nics: 0 }, nics: [] },
  ...{ shareDirectory: "/run/pod/share", volumesDirectory: "/run/pod/volumes" },
};

const read = (facts: Readonly<Record<string, unknown>>) => new VmFacts(new Map(Object.entries(facts)));

describe("the facts of a VM", () => {
  it("are there as they were written", () => {
    const facts = read({
      vm: VM,
      "share/layers": {},
      "inside/c1": { disk: "d", images: [], volumes: ["v"] },
    });
    expect(facts.vm).toEqual(VM);
    expect(facts.share("layers")).toEqual({});
    expect(facts.inside("c1")).toEqual({ disk: "d", images: [], volumes: ["v"] });
    expect(facts.containers).toEqual(["c1"]);
  });

  it.each([
    ["nothing", undefined],
    ["null", null],
    ["another type", "a VM"],
    ["no process", { ...VM, pid: 0 }],
    ["a word that nobody knows", { ...VM, source: "stolen" }],
    ["an incomplete shape", { ...VM, shape: { vcpus: 1 } }],
  ])("are as if they were not there if they are %s", (_, vm) => {
    const facts = read({ vm, "share/layers": 1, "inside/c1": { disk: 1 } });
    expect([facts.vm, facts.share("layers"), facts.inside("c1")]).toEqual([undefined, undefined, undefined]);
  });

  it("leave out the volumes that are garbage, and keep the others", () => {
    const copied = { kind: "copied", key: "k", source: "/s", entries: [["a", "file", 420, 0, 0, "1"]] };
    const shared = { kind: "shared", key: "k" };
    const facts = read({
      ...{ "volume/copied": copied, "volume/shared": shared },
      ...{ "volume/none": null, "volume/unknown": { kind: "holographic" }, "volume/list": [] },
      "volume/short": { ...copied, entries: [["a", "file"]] },
    });
    expect(Object.fromEntries(facts.volumes)).toEqual({ copied, shared });
  });

  it("tell the highest stream of all processes, whatever else is written there", () => {
    const facts = read({
      "process/c1/": { streams: { stdin: 3, stdout: 4 } },
      "process/c1/exec": { streams: { stdout: 9, stderr: "12" } },
      ...{
        "process/c2/": { streams: null },
        "process/c3/": 100,
        "container/c1": { streams: { stdout: 50 } },
      },
    });
    expect(facts.lastStream).toBe(9);
    expect(read({}).lastStream).toBe(0);
  });
});
