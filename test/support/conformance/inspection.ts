/**
 * What every `Inspection` does: run against the fake and against the daemon's own, at the port and over the wire.
 */
import { describe, expect, it, vi } from "vitest";
import type { EventSource } from "../../../src/contracts/event-source.ts";
import type {
  HistoryEntry,
  Inspection,
  InspectionEvent,
  WatchFilter,
} from "../../../src/contracts/inspection.ts";

/** The port as a program on the other side of a socket has it: every answer comes later. */
export type AskedInspection = {
  readonly [Method in Exclude<keyof Inspection, "look">]: Inspection[Method] extends (
    ...given: infer Given
  ) => EventSource<infer Event>
    ? (...given: Given) => EventSource<Event>
    : Inspection[Method] extends (...given: infer Given) => infer Answer
      ? (...given: Given) => Answer | Promise<Awaited<Answer>>
      : never;
};

export interface InspectionBench {
  readonly inspection: AskedInspection;
  /** Starts a pod with one container; resolves once that runs. Gives the sandbox's id. */
  startPod(name: string, namespace: string): Promise<string>;
  /** Stops it and has it removed; resolves once it has ended. */
  stopPod(id: string): Promise<void>;
  dispose(): Promise<void>;
}

export function describeInspection(name: string, open: () => Promise<InspectionBench>): void {
  describe(name, () => {
    async function opened(): Promise<InspectionBench & AsyncDisposable> {
      const bench = await open();
      return Object.assign(bench, { [Symbol.asyncDispose]: () => bench.dispose() });
    }

    it("lists a pod that runs, with its name and its state", async () => {
      await using bench = await opened();
      const id = await bench.startPod("web", "shop");
      const summary = (await bench.inspection.list()).find((each) => each.id === id);
      expect(summary).toMatchObject({
        ...{ pod: { name: "web", namespace: "shop" }, phase: "ready", state: "ready.running", containers: 1 },
      });
      expect(summary?.startMs).toBeGreaterThanOrEqual(0);
      expect(summary?.path).not.toBe("");
      expect((await bench.inspection.node()).phases["ready"]).toBe(1);
    });

    it("keeps a pod that has ended, and says when it did", async () => {
      await using bench = await opened();
      const id = await bench.startPod("web", "shop");
      await bench.stopPod(id);
      const { summary, resources, history } = await bench.inspection.get(id);
      expect(summary.phase).toBe("stopped");
      expect(summary.endedAt).toBeGreaterThan(summary.createdAt);
      expect(resources).toEqual([]);
      expect(
        history.every(({ kind, ms }) => kind === "transition" || kind === "note" || ms !== undefined),
      ).toBe(true);
    });

    it("says by which states a pod came up, in order, each with its cause", async () => {
      await using bench = await opened();
      const { history, charts } = await bench.inspection.get(await bench.startPod("web", "shop"));
      const states = history
        .filter(({ kind, chart }) => kind === "transition" && chart === "sandbox")
        .map(({ to }) => to);
      expect(states).toEqual(["creating", "created", "booting", "ready.running"]);
      expectCauses(history);
      const start = history.find(
        ({ kind, name: called }) => kind === "call" && called === "Controller.Start",
      );
      expect(start?.ms).toBeGreaterThanOrEqual(0);
      const booting = history.find(
        ({ kind, to, chart }) => kind === "transition" && chart === "sandbox" && to === "booting",
      );
      expect(booting?.cause).toBe(start?.id);
      expect(charts.find(({ key }) => key === "sandbox")?.active).toEqual(["ready", "ready.running"]);
    });

    it("says what a pod holds and why it is as it is", async () => {
      await using bench = await opened();
      const detail = await bench.inspection.get(await bench.startPod("web", "shop"));
      expect(detail.resources.map(({ kind }) => kind)).toContain("process");
      expect(detail.why).toContain("shop/web");
    });

    it("tells a watcher what is there, and then what happens", async () => {
      await using bench = await opened();
      const first = await bench.startPod("first", "shop");
      const { events, stop } = collect(bench.inspection.watch({ entries: true }));
      await vi.waitFor(() => expect(events.length).toBeGreaterThanOrEqual(2));
      expect(events[0]).toEqual({ type: "reset" });
      expect(events[1]).toMatchObject({ type: "summary", summary: { id: first } });
      const second = await bench.startPod("second", "shop");
      await vi.waitFor(() => expect(statesIn(events, second)).toContain("ready.running"));
      const entries = entriesIn(events, second);
      expect(
        entries.find(({ name: called, ms }) => called === "Controller.Start" && ms === undefined),
      ).toBeDefined();
      expect(
        entries.find(({ name: called, ms }) => called === "Controller.Start" && ms !== undefined),
      ).toBeDefined();
      stop();
    });

    it("tells a watcher of one sandbox nothing of the others", async () => {
      await using bench = await opened();
      const first = await bench.startPod("first", "shop");
      const { events, stop } = collect(bench.inspection.watch({ sandboxId: first, entries: false }));
      await vi.waitFor(() => expect(events).toHaveLength(2));
      await bench.startPod("second", "shop");
      await bench.stopPod(first);
      await vi.waitFor(() => expect(statesIn(events, first).at(-1)).toMatch(/^(stopped|removed)$/));
      expect(
        events.every(
          (event) => event.type === "reset" || (event.type === "summary" && event.summary.id === first),
        ),
      ).toBe(true);
      stop();
    });

    it("says what a pod uses", async () => {
      await using bench = await opened();
      const id = await bench.startPod("web", "shop");
      const [usage] = await bench.inspection.usage([id]);
      expect(usage).toMatchObject({ sandboxId: id });
      expect(usage?.at).toBeGreaterThan(0);
    });

    it("ends a log that is not followed", async () => {
      await using bench = await opened();
      const id = await bench.startPod("web", "shop");
      const log = collect(bench.inspection.logs(id, "console", { tailBytes: 10, follow: false }));
      await vi.waitFor(() => expect(log.ended()).toBe(true));
      expect(log.events.reduce((sum, part) => sum + part.length, 0)).toBeLessThanOrEqual(10);
    });

    it("has a definition of every chart, with every state that a chart is in", async () => {
      await using bench = await opened();
      const charts = await bench.inspection.charts();
      expect(charts.map(({ name: called }) => called).sort()).toEqual([
        "boot",
        "container",
        "process",
        "sandbox",
      ]);
      const detail = await bench.inspection.get(await bench.startPod("web", "shop"));
      for (const { chart, active } of detail.charts) {
        const definition = charts.find(({ name: called }) => called === chart);
        expect(JSON.stringify(definition)).toContain(`"path":"${active.at(-1)}"`);
      }
    });

    it("refuses ids that are not known", async () => {
      await using bench = await opened();
      const { inspection } = bench;
      const unknown = { kind: "notFound" };
      await expect(async () => await inspection.get("none")).rejects.toMatchObject(unknown);
      await expect(async () => await inspection.usage(["none"])).rejects.toMatchObject(unknown);
      const filter: WatchFilter = { sandboxId: "none", entries: true };
      await expect(first(() => inspection.watch(filter))).rejects.toMatchObject(unknown);
      const options = { tailBytes: 1, follow: false };
      await expect(first(() => inspection.logs("none", "vmm", options))).rejects.toMatchObject(unknown);
    });
  });
}

/** Every cause is an entry that began before. */
function expectCauses(history: readonly HistoryEntry[]): void {
  const ids = new Set(history.map(({ id }) => id));
  expect(ids.size).toBe(history.length);
  for (const { id, cause } of history) {
    if (cause === undefined) continue;
    expect(ids.has(cause)).toBe(true);
    expect(cause).toBeLessThan(id);
  }
}

function collect<Event>(source: EventSource<Event>) {
  const events: Event[] = [];
  let ended = false;
  const end = () => {
    ended = true;
  };
  const subscription = source.subscribe({ next: (event) => events.push(event), error: end, complete: end });
  return { events, ended: () => ended, stop: () => subscription.unsubscribe() };
}

/** The first event; rejects if the source is refused at once or fails. */
async function first<Event>(open: () => EventSource<Event>): Promise<Event | undefined> {
  const source = open();
  return await new Promise((resolve, reject) => {
    source.subscribe({ next: resolve, error: reject, complete: () => resolve(undefined) });
  });
}

function statesIn(events: readonly InspectionEvent[], id: string): string[] {
  return events.flatMap((event) =>
    event.type === "summary" && event.summary.id === id ? [event.summary.state] : [],
  );
}

function entriesIn(events: readonly InspectionEvent[], id: string): HistoryEntry[] {
  return events.flatMap((event) => (event.type === "entry" && event.sandboxId === id ? [event.entry] : []));
}
