import { describe, expect, it, onTestFinished, vi } from "vitest";
import { DEFAULT_DEADLINES } from "../../../../src/contracts/deadlines.ts";
import { blazarError } from "../../../../src/contracts/errors.ts";
import type { HistoryEntry } from "../../../../src/contracts/inspection.ts";
import { MOST_ENTRIES } from "../../../../src/observe/history/entries.ts";
import { HistoryHub } from "../../../../src/observe/history/hub.ts";
import { CapturedLogger } from "../../../support/captured-logger.ts";
import { containerRequest, podSpec } from "../../../support/memory-host/pods.ts";
import { node, statesOf } from "./life.ts";

describe("the history of a pod", () => {
  it("has every state of its charts, in order, by their names", async () => {
    const { create, start, run, stop, shutdown, history } = node();
    await create();
    await start();
    await run();
    await stop();
    await shutdown();
    expect(statesOf(history(), "sandbox")).toEqual([
      ...["creating", "created", "booting", "ready.running"],
      ...["stopping.containers.killing", "stopping.guest.shuttingDown", "stopping.vmm.killing"],
      ...["stopping.network", "stopping.storage", "stopped", "removed"],
    ]);
    const up = ["queued", "booting", "awaitingAgent.listening", "settingUp", "ready"];
    expect(statesOf(history(), "boot")).toEqual(up);
    expect(statesOf(history(), "container/c1")).toEqual(["creating", "present"]);
    expect(statesOf(history(), "process/c1/")).toEqual(["pending", "starting", "running", "exited"]);
    expect(history().some(({ name }) => name.includes("xstate"))).toBe(false);
  });

  it("leads from a call down to what the guest was asked", async () => {
    const { create, start, run, pathTo } = node();
    await create();
    await start();
    await run();
    expect(pathTo(({ name }) => name === "guest sandbox.setup")).toEqual([
      ...["call Controller.Start", "sandbox → booting", "effect boot"],
      ...["boot → queued", "effect acquire", "boot → booting", "effect boot"],
      ...["boot → awaitingAgent.listening", "effect connectAgent", "boot → settingUp"],
      ...["effect setUpGuest", "step guest sandbox.setup"],
    ]);
    expect(pathTo(({ name }) => name === "guest container.create")).toEqual([
      ...["call Task.Create", "container/c1 → creating", "effect create", "step guest container.create"],
    ]);
    expect(pathTo(({ name }) => name === "guest process.start")).toEqual([
      ...["call Task.Start", "process/c1/ → starting", "effect start", "step guest process.start"],
    ]);
    expect(pathTo(({ name }) => name === "make cgroups")).toEqual([
      ...["call Controller.Create", "sandbox → creating", "effect provision", "step make cgroups"],
    ]);
  });

  it("names the call also of what is sent to a chart later than at once", async () => {
    const { tasks, create, start, run, call, pathTo } = node();
    await create();
    await start();
    await run();
    await tasks.kill("c1", "", 9, false);
    await tasks.wait("c1", "");
    await call("Task.Delete", () => tasks.delete("c1", ""), { chart: "container/c1" });
    expect(pathTo(({ to }) => to === "deleting")[0]).toBe("call Task.Delete");
  });

  it("says of what fails how, and what that has led to", async () => {
    const { memory, create, history, pathTo } = node();
    memory.faults.add("makeCgroup");
    await expect(create()).rejects.toMatchObject({ code: "HostResource" });
    const failed = history().find(({ name }) => name === "provision");
    expect(failed?.error).toContain("a fault of the test");
    expect(history().find(({ name }) => name === "Controller.Create")?.error).toContain(
      "a fault of the test",
    );
    expect(pathTo(({ to }) => to === "stopping.vmm.killing")).toEqual([
      ...[
        "call Controller.Create",
        "sandbox → creating",
        "effect provision",
        "sandbox → stopping.vmm.killing",
      ],
    ]);
  });

  it("says of what was called off that it was", async () => {
    const { memory, create, start, stop, history } = node({
      guest: () => ({ faults: { hangs: new Set(["sandbox.setup"]) } }),
    });
    await create();
    const started = start();
    started.catch(() => undefined);
    await expect.poll(() => memory.driver.vm("pod").guest.requests.length).toBeGreaterThan(0);
    await stop();
    await expect(started).rejects.toMatchObject({ code: "Cancelled" });
    const setUp = history().find(({ kind, name }) => kind === "effect" && name === "setUpGuest");
    expect(setUp?.error).toContain("was left");
    expect(setUp?.ms).toBeGreaterThanOrEqual(0);
  });

  it("takes a deadline of a boot for no end of it", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    onTestFinished(() => void vi.useRealTimers());
    const { create, start, history, pathTo } = node({ guest: () => ({ faults: { silent: true } }) });
    await create();
    start().catch(() => undefined);
    await vi.advanceTimersByTimeAsync(DEFAULT_DEADLINES.firstSign + 1_000);
    expect(pathTo(({ name }) => name === "after firstSign").slice(-2)).toEqual([
      ...["boot → awaitingAgent.listening", "boot → awaitingAgent.examining"],
    ]);
    const boot = history().find(
      ({ kind, name, chart }) => kind === "effect" && name === "boot" && chart === "sandbox",
    );
    expect(boot).toMatchObject({ kind: "effect" });
    expect(boot).not.toHaveProperty("ms");
  });

  it("tells listeners what begins and what has ended, each once, and the end of all", async () => {
    const { histories, create, start, stop, shutdown } = node();
    const began: number[] = [];
    const ended: HistoryEntry[] = [];
    const removed: string[] = [];
    histories.listen({
      began: (_, { id }) => began.push(id),
      ended: (_, entry) => ended.push(entry),
      removed: (id) => removed.push(`${id} after ${ended.at(-1)?.name}`),
    });
    await create();
    await start();
    await stop();
    await shutdown();
    expect(removed).toEqual(["pod after Controller.Shutdown"]);
    expect(new Set(ended.map(({ id }) => id)).size).toBe(ended.length);
    const took = ended.filter(({ kind, ms }) => ms !== undefined && kind !== "transition");
    expect(took.map(({ id }) => id).sort()).toEqual([...began].sort());
  });

  it("gives listeners the code of an error", async () => {
    const { memory, histories, create } = node();
    const codes: unknown[] = [];
    histories.listen({ ended: (_, { kind }, code) => void (code && codes.push(`${kind} ${code}`)) });
    memory.faults.add("makeCgroup");
    await create().catch(() => undefined);
    expect(codes).toEqual(["step HostResource", "effect HostResource", "call HostResource"]);
  });

  it("keeps the beginning and the end of a long life", async () => {
    const { tasks, create, start, run, call, history, histories } = node();
    await create();
    await start();
    await run();
    for (let count = 0; count < MOST_ENTRIES; count++)
      await call("Task.Kill", () => tasks.kill("c1", "", 0, false), { chart: "process/c1/" }).catch(
        () => undefined,
      );
    const all = history();
    expect(all).toHaveLength(MOST_ENTRIES);
    expect(histories.find("pod")?.entries.forgotten).toBeGreaterThan(0);
    expect(all[0]).toMatchObject({ to: "creating" });
    expect(statesOf(all, "boot")).toContain("ready");
    expect(all.at(-1)).toMatchObject({ name: "Task.Kill" });
  });

  it("is in the journal, from the first entry on", async () => {
    const { memory, create, start, history } = node();
    await create();
    await start();
    expect(memory.journals.get("pod")?.entries).toEqual(history());
  });

  it("holds nothing but plain data after the end", async () => {
    const { create, start, stop, shutdown, histories } = node();
    await create();
    await start();
    await stop();
    await shutdown();
    const record = histories.find("pod");
    expect(record?.endedAt).toBeGreaterThan(0);
    expect(record?.startMs).toBeGreaterThanOrEqual(0);
    expect(record?.charts.map(({ key, path }) => `${key} ${path}`)).toEqual([
      "sandbox removed",
      "boot ready",
    ]);
    expect(record?.facts.info["vm"]).toBe("pod");
    expect(() => structuredClone(record?.charts)).not.toThrow();
  });
});

describe("the hub", () => {
  function hub(limits: { keptCount?: number; keptBytes?: number } = {}) {
    const logger = new CapturedLogger();
    return { logger, hub: new HistoryHub({ keptCount: 2, keptBytes: 1e9, now: () => 5, logger, ...limits }) };
  }
  const facts = () => ({ vcpus: 1, memoryBytes: 1, resources: [], info: { text: "x".repeat(100) } });
  const subject = (id: string) => {
    const { name, namespace, uid, attempt } = podSpec(id);
    return { id, pod: { name, namespace, uid, attempt }, createdAt: 1, facts };
  };

  it("keeps the last sandboxes that have ended, by their number and by their bytes", () => {
    for (const limits of [{ keptCount: 2 }, { keptCount: 100, keptBytes: 3_000 }]) {
      const { hub: histories } = hub(limits);
      const forgotten: string[] = [];
      histories.listen({ forgotten: (id) => forgotten.push(id) });
      for (const id of ["a", "b", "c"]) histories.open(subject(id)).close();
      expect(forgotten).toEqual(["a"]);
      expect(histories.records.map(({ id }) => id)).toEqual(["b", "c"]);
    }
  });

  it("forgets one that has ended when its id comes again", () => {
    const { hub: histories } = hub();
    const forgotten: string[] = [];
    histories.listen({ forgotten: (id) => forgotten.push(id) });
    histories.open(subject("a")).close();
    const again = histories.open(subject("a"));
    expect(forgotten).toEqual(["a"]);
    expect(histories.records).toEqual([again]);
  });

  it("leaves out a listener that throws, and says so", () => {
    const { hub: histories, logger } = hub();
    const heard: string[] = [];
    histories.listen({
      ended: () => {
        throw new Error("a bug");
      },
    });
    histories.listen({ ended: (_, { name }) => heard.push(name) });
    const record = histories.open(subject("a"));
    record.note("first");
    record.note("second");
    expect(heard).toEqual(["first", "second"]);
    expect(logger.lines.filter(({ level }) => level === "error")).toHaveLength(1);
  });

  it("makes a hostile guest's words harmless", () => {
    const { hub: histories } = hub();
    const record = histories.open({ ...subject("a"), pod: { ...podSpec("a"), name: "web\u001b[2J\n" } });
    record.note(`\u001b]0;x\u0007<b>\u202e${"é".repeat(1_000_000)}`);
    record.call("Task.Create").end(blazarError("GuestFailed", "run", "a\nb\u0000\ud800c"));
    const [note, call] = record.entries.all;
    expect(record.pod.name).toBe("web\\x1b[2J\\n");
    expect(Buffer.byteLength(note?.name ?? "")).toBeLessThanOrEqual(1024);
    expect(note?.name.startsWith("\\x1b]0;x\\x07<b>\\u202eéé")).toBe(true);
    expect(call?.error).toBe("cannot run: a\\nb\\x00\\ud800c");
  });

  it("does not confuse a call that comes before its sandbox with one of another", () => {
    const { hub: histories } = hub();
    const early = histories.call("a", "Controller.Create");
    histories.within(early, () => histories.open(subject("b")));
    expect(histories.find("b")?.entries.all).toEqual([]);
    early.end(new Error("no"));
    expect(histories.find("a")).toBeUndefined();
  });

  it("tells the parts of a step afterwards, at their times", () => {
    const { hub: histories } = hub();
    const span = histories.open(subject("a")).step("guest container.create", "container/c");
    span.part("mount", 2, 3);
    span.end();
    expect(histories.find("a")?.entries.all[0]).toEqual({
      ...{ id: 2, kind: "step", cause: 1, chart: "container/c", at: 7, ms: 3, name: "mount" },
    });
  });
});

describe("a daemon without inspection", () => {
  it("attaches nothing to a chart", async () => {
    const { memory, sandboxes, tasks } = node();
    const { NO_HISTORIES } = await import("../../../../src/contracts/history.ts");
    Object.assign(memory.ports, { histories: NO_HISTORIES });
    const actors = memory.actors();
    await actors.sandboxes.create(podSpec("pod"));
    await actors.sandboxes.start("pod");
    await actors.tasks.create(containerRequest("pod", "c1"));
    expect(memory.histories.records).toEqual([]);
    await actors.sandboxes.shutdown("pod");
    expect([sandboxes.size, tasks.sandboxOf("c1")]).toEqual([0, undefined]);
  });
});
