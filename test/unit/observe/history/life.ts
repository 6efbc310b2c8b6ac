/**
 * A pod's life on a host in memory, called as containerd calls, and its history as people read it.
 */
import type { HistoryEntry } from "../../../../src/contracts/inspection.ts";
import { told } from "../../../../src/rpc/told.ts";
import type { FakeVmmOptions } from "../../../support/fake-vmm/driver.ts";
import { MemoryHost } from "../../../support/memory-host/host.ts";
import { containerRequest, podSpec } from "../../../support/memory-host/pods.ts";

export function node(options: FakeVmmOptions = {}) {
  const memory = new MemoryHost(options);
  const { sandboxes, tasks } = memory.actors();
  const { histories } = memory;
  type Facts = Parameters<typeof told>[3];
  const call = <Result>(name: string, work: () => Promise<Result>, facts: Facts = {}, id = "pod") =>
    told(histories, id, name, facts, (within) => within(work));
  const history = (id = "pod") => histories.find(id)?.entries.all ?? [];
  return {
    memory,
    sandboxes,
    tasks,
    histories,
    call,
    history,
    async create(changes: Parameters<typeof podSpec>[1] = {}) {
      await call("Controller.Create", () => sandboxes.create(podSpec("pod", changes)));
    },
    start: () => call("Controller.Start", () => sandboxes.start("pod")),
    async run(id = "c1") {
      const request = containerRequest("pod", id);
      await call("Task.Create", () => tasks.create(request), { chart: `container/${id}` });
      await call("Task.Start", () => tasks.start(id, ""), { chart: `process/${id}/` });
    },
    stop: () => call("Controller.Stop", () => sandboxes.stop("pod", 0)),
    shutdown: () => call("Controller.Shutdown", () => sandboxes.shutdown("pod")),
    /** The names of what has led to an entry, from the first cause on. */
    pathTo(find: (entry: HistoryEntry) => boolean): string[] {
      const entries = new Map(history().map((entry) => [entry.id, entry]));
      const path: string[] = [];
      for (let at = history().find(find); at !== undefined; at = entries.get(at.cause ?? 0))
        path.unshift(nameOf(at));
      return path;
    },
  };
}

function nameOf({ kind, name, chart, to = "" }: HistoryEntry): string {
  return kind === "transition" ? `${chart} → ${to}` : `${kind} ${name}`;
}

/** The states that a chart was in, in order. */
export function statesOf(history: readonly HistoryEntry[], chart: HistoryEntry["chart"]): string[] {
  return history.flatMap((entry) =>
    entry.kind === "transition" && entry.chart === chart ? [entry.to ?? ""] : [],
  );
}
