import { fc, test } from "@fast-check/vitest";
import { describe, expect, it } from "vitest";
import type { HistoryEntry } from "../../../../src/contracts/inspection.ts";
import { PHASE_OF_STATE } from "../../../../src/machines/sandbox.machine.ts";
import { chartDefinitions } from "../../../../src/observe/charts/definitions.ts";
import { statesAt } from "../../../../src/observe/replay/moments.ts";
import { detailAt, PHASES, replayJournal } from "../../../../src/observe/replay/replay.ts";
import { podSpec } from "../../../support/memory-host/pods.ts";
import { world } from "../inspection/world.ts";

/** The journal of a pod with a container, as a daemon that was killed has left it. */
async function journal() {
  const { inspection, memory, create, start, run } = world();
  await create({ name: "web", namespace: "shop" });
  await start();
  await run();
  const detail = await inspection.get("pod");
  const at = detail.summary.createdAt;
  const resource = { kind: "directory", path: "/run/x" };
  const lines = [
    { type: "opened", at, sandboxId: "pod" },
    { type: "fact", at, name: "sandbox", value: podSpec("pod", { name: "web", namespace: "shop" }) },
    { type: "intent", at, ref: 1, resource },
    { type: "intent", at, ref: 2, resource: { kind: "process", id: "pod" } },
    { type: "amended", at: at + 1, ref: 2, resource: { kind: "process", id: "pod", pid: 7 } },
    { type: "fact", at, name: "vm", value: { pid: 7, shape: { vcpus: 2, memoryBytes: 99 } } },
    { type: "fact", at, name: "process/c1/", value: { process: { env: ["PASSWORD=SECRET"] } } },
    { type: "undone", at, ref: 1 },
    ...(memory.journals.get("pod")?.entries ?? []).map((entry) => ({ type: "history", at, entry })),
  ];
  return { detail, text: lines.map((line) => `${JSON.stringify(line)}\n`).join("") };
}

const chartsOf = ({ charts }: { charts: readonly { key: string; active: readonly string[] }[] }) =>
  charts.map(({ key, active }) => `${key} ${active.at(-1)}`);

describe("a journal that is replayed", () => {
  it("takes time by its length, and not by the square of that", () => {
    const line = '{"type":"transition","state":"booting.x","at":1,"ms":1}\n';
    const began = performance.now();
    const { detail } = replayJournal(line.repeat(100_000));
    // it was a minute
    expect(performance.now() - began).toBeLessThan(15_000);
    expect(chartsOf(detail)).toEqual(["sandbox booting", "boot x"]);
  });

  it("shows the sandbox as its daemon has shown it", async () => {
    const { detail, text } = await journal();
    const { detail: replayed, unreadable } = replayJournal(text, { charts: chartDefinitions() });
    expect(unreadable).toBe(0);
    expect(chartsOf(replayed)).toEqual(chartsOf(detail));
    const ended = detail.history.filter(({ kind, ms }) => ms !== undefined || kind === "transition");
    expect(new Set(replayed.history)).toEqual(new Set(ended));
    expect(replayed.summary).toMatchObject({
      ...{ id: "pod", pod: { name: "web", namespace: "shop" }, phase: "ready", state: "ready.running" },
      ...{ pid: 7, vcpus: 2, memoryBytes: 99, containers: 1 },
    });
    expect(replayed.resources).toEqual([
      { kind: "process", description: "process pod", since: expect.any(Number) },
    ]);
    expect(replayed.why).toContain("Pod shop/web has been in ready.running");
    expect(JSON.stringify(replayed)).not.toContain("SECRET");
  });

  it("says what the last states waited for, where it ends without a word of it", async () => {
    const { text } = await journal();
    const upToBoot = text.slice(0, text.indexOf('"name":"vmm launch"'));
    const whole = `${upToBoot.slice(0, upToBoot.lastIndexOf("\n"))}\n`;
    const { detail } = replayJournal(whole, { charts: chartDefinitions() });
    expect(chartsOf(detail)).toEqual(["sandbox booting", "boot booting"]);
    expect(detail.why).toContain("waits for a VMM to be spawned and to answer");
  });

  it("reads what can be read of a torn one, and of garbage", async () => {
    const { text } = await journal();
    for (let cut = 0; cut < text.length; cut += 97) {
      const { detail, unreadable } = replayJournal(text.slice(0, cut));
      expect(unreadable).toBeLessThanOrEqual(1);
      expect(detail.why).not.toContain("undefined");
    }
    const garbage = [
      "",
      "null",
      "[]",
      '{"type":"history","entry":{"kind":"boo"}}',
      "\u0000",
      '{"type":"new"}',
    ];
    const { unreadable, detail } = replayJournal(`${garbage.join("\n")}\n${text}`);
    expect(unreadable).toBe(5);
    expect(detail.summary.state).toBe("ready.running");
  });

  test.prop([
    fc.array(
      fc.oneof(
        fc.string(),
        fc.json(),
        fc.json().map((json) => `{"type":"history","entry":${json}}`),
      ),
    ),
  ])("never throws", (lines) => {
    const { detail } = replayJournal(lines.join("\n"), { charts: chartDefinitions() });
    expect(typeof detail.why).toBe("string");
    expect(detailAt(detail, 5).history.length).toBeLessThanOrEqual(detail.history.length);
  });

  it("reads the transitions of older daemons", () => {
    const text = [
      '{"type":"opened","at":1000,"sandboxId":"s1"}',
      '{"type":"transition","at":1010,"state":"creating","ms":10}',
      '{"type":"transition","at":1020,"state":"created","ms":10}',
      '{"type":"transition","at":1050,"state":"booting.queued","ms":30}',
      '{"type":"transition","at":1100,"state":"booting.booting","ms":50}',
    ].join("\n");
    const { detail, unreadable } = replayJournal(text);
    expect(unreadable).toBe(0);
    expect(chartsOf(detail)).toEqual(["sandbox booting", "boot booting"]);
    expect(detail.summary).toMatchObject({ id: "s1", state: "booting.booting", since: 1050 });
  });

  it("has the phases of the charts", () => expect(PHASES).toEqual(PHASE_OF_STATE));
});

describe("a moment of a history", () => {
  const history: HistoryEntry[] = [
    { id: 2, kind: "transition", cause: 1, chart: "sandbox", at: 10, name: "", from: "", to: "creating" },
    { id: 3, kind: "effect", cause: 2, chart: "sandbox", at: 10, ms: 20, name: "provision", error: "no" },
    {
      id: 4,
      kind: "transition",
      cause: 3,
      chart: "sandbox",
      at: 30,
      name: "failed",
      from: "creating",
      to: "stopping.vmm",
    },
    { id: 1, kind: "call", at: 9, ms: 40, name: "Controller.Create", error: "no" },
  ];

  it("has the states as they were, and no more", () => {
    expect(statesAt(history, 9)).toEqual([]);
    expect(chartsOf({ charts: statesAt(history, 29) })).toEqual(["sandbox creating"]);
    expect(statesAt(history, 30)[0]).toMatchObject({ active: ["stopping", "stopping.vmm"], since: 30 });
  });

  it("does not know yet how what went on would end", async () => {
    const { detail } = replayJournal(
      history.map((entry) => JSON.stringify({ type: "history", at: 50, entry })).join("\n"),
    );
    const then = detailAt(detail, 15, { charts: chartDefinitions() });
    expect(then.history).toEqual([
      { id: 2, kind: "transition", cause: 1, chart: "sandbox", at: 10, name: "", from: "", to: "creating" },
      { id: 3, kind: "effect", cause: 2, chart: "sandbox", at: 10, name: "provision" },
      { id: 1, kind: "call", at: 9, name: "Controller.Create" },
    ]);
    expect(then.why).toContain("has been in creating for 5 ms. It waits for its directories");
    expect(then.summary.phase).toBe("creating");
  });
});
