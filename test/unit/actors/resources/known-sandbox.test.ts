/** What a daemon reads of a sandbox that an earlier one has left: facts may be anything. */
import { describe, expect, it } from "vitest";
import { readKnownSandbox } from "../../../../src/actors/resources/known-sandbox.ts";
import { podSpec } from "../../../support/memory-host/pods.ts";

const PATHS = { stdin: "", stdout: "/f/o", stderr: "" };
const PROCESS = { pid: 4_194_305, paths: PATHS, terminal: false, started: true };

const FACTS: Readonly<Record<string, unknown>> = {
  sandbox: podSpec("pod"),
  phase: { phase: "ready", createdAt: 1 },
  vm: { pid: 77 },
  "container/c1": { bundle: "/b", namespace: "k8s.io", diskId: "d1" },
  "process/c1/e1": { ...PROCESS, pid: 4_194_306, exit: { status: 3, at: 9 } },
  "process/c1/": PROCESS,
};

function read(changes: Readonly<Record<string, unknown>> = {}) {
  return readKnownSandbox(new Map(Object.entries({ ...FACTS, ...changes })));
}

describe("the facts of a sandbox", () => {
  it("say what it is, how far it has come and what runs in it, the first process first", () => {
    const known = read();
    expect(known).toMatchObject({ spec: podSpec("pod"), phase: { phase: "ready" }, pid: 77 });
    expect(known?.containers).toMatchObject([
      {
        id: "c1",
        bundle: "/b",
        diskId: "d1",
        processes: [{ execId: "" }, { execId: "e1", exit: { status: 3 } }],
      },
    ]);
  });

  it.each([
    ["there is no spec", { sandbox: undefined }],
    ["its spec is garbage", { sandbox: { ...podSpec("pod"), id: 7 } }],
    ["it had not become ready", { phase: undefined }],
    ["its phase is none", { phase: { phase: "booting", createdAt: 1 } }],
    ["a fact is no object", { phase: "ready" }],
  ])("say nothing if %s", (_, changes) => {
    expect(read(changes)).toBeUndefined();
  });

  it.each([
    ["a container is garbage", { "container/c1": { bundle: 1 } }],
    ["it has no first process: it was half made or is half deleted", { "process/c1/": undefined }],
    ["its first process is garbage", { "process/c1/": { ...PROCESS, pid: "many" } }],
    [
      "its first process has an exit that is none",
      { "process/c1/": { ...PROCESS, exit: { status: 256, at: 1 } } },
    ],
  ])("leave a container out if %s", (_, changes) => {
    expect(read(changes)?.containers).toEqual([]);
  });

  it("leave out an exec that is garbage, and a process of no container", () => {
    const known = read({ "process/c1/e1": { pid: -1 }, "process/c2/": PROCESS });
    expect(known?.containers.map(({ id, processes }) => [id, processes.length])).toEqual([["c1", 1]]);
  });

  it("need not say which process the VMM is", () => {
    expect(read({ vm: { pid: "seven" } })?.pid).toBe(0);
  });
});
