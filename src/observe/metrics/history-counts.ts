/**
 * Counts what the history tells: starts, durations of calls, effects and steps, errors by code, missed deadlines.
 *
 * It hears entries as they end and keeps two words a sandbox. A start is counted from the chart's own states, so it holds
 * whoever has asked for it. Must never throw: the charts run in the same turn.
 */
import { DEADLINES } from "../../contracts/deadlines.ts";
import type { ErrorCode } from "../../contracts/errors.ts";
import type { HistoryListener } from "../../contracts/history.ts";
import type { HistoryEntry } from "../../contracts/inspection.ts";
import type { MetricStore } from "./store.ts";

/** The states of the chart `boot` that are a way to a VM, and what the way is called. */
const WAYS: ReadonlyMap<string, string> = new Map([
  ["adopting", "pool"],
  ["forking", "fork"],
  ["cloning", "clone"],
  ["booting", "boot"],
]);
/** Where a way that failed may lead. */
const NEXT: ReadonlySet<string> = new Set(["queued", "cloning", "booting"]);
/** A look at a guest that is waited for; nothing is late by it. */
const LOOKS: ReadonlySet<string> = new Set(["firstSign"]);
const DEADLINE_EVENT = /^after (\w+)$/;
const MILLISECONDS = 1000;

interface Start {
  /** When booting began. */
  since: number | undefined;
  way: string | undefined;
}

export class HistoryCounts implements HistoryListener {
  private readonly starts = new Map<string, Start>();

  constructor(
    private readonly store: MetricStore,
    /** The code of why a sandbox goes down; undefined if it was asked to. */
    private readonly failureOf: (sandboxId: string) => string | undefined,
  ) {
    for (const path of WAYS.values()) store.count("blazar_sandbox_starts_total", { path }, 0);
    for (const deadline of Object.keys(DEADLINES))
      if (!LOOKS.has(deadline)) store.count("blazar_deadlines_missed_total", { deadline }, 0);
  }

  began(): void {
    // everything is counted when it has ended
  }

  ended(sandboxId: string, entry: HistoryEntry, code?: ErrorCode): void {
    switch (entry.kind) {
      case "call":
        return this.call(entry, code);
      case "effect":
        return this.effect(entry, code);
      case "step":
        return this.step(entry, code);
      case "transition":
        return this.transition(sandboxId, entry);
      case "note":
        return undefined;
    }
  }

  removed(sandboxId: string): void {
    this.starts.delete(sandboxId);
  }

  private call({ name: method, ms = 0 }: HistoryEntry, code: ErrorCode | undefined): void {
    if (code !== undefined) this.store.count("blazar_call_errors_total", { method, code });
    // a Wait is as long as the pod's life
    if (method.endsWith(".Wait")) return;
    this.store.observe("blazar_call_duration_seconds", { method }, ms / MILLISECONDS);
  }

  private effect({ name: effect, chart, ms = 0 }: HistoryEntry, code: ErrorCode | undefined): void {
    const labels = { chart: kindOf(chart), effect };
    if (code !== undefined) this.store.count("blazar_effect_errors_total", { ...labels, code });
    this.store.observe("blazar_effect_duration_seconds", labels, ms / MILLISECONDS);
  }

  private step({ name: step, ms = 0 }: HistoryEntry, code: ErrorCode | undefined): void {
    if (code !== undefined) this.store.count("blazar_step_errors_total", { step, code });
    this.store.observe("blazar_step_duration_seconds", { step }, ms / MILLISECONDS);
  }

  private transition(sandboxId: string, entry: HistoryEntry): void {
    const deadline = DEADLINE_EVENT.exec(entry.name)?.[1];
    if (deadline !== undefined && !LOOKS.has(deadline))
      this.store.count("blazar_deadlines_missed_total", { deadline });
    const [from, to] = [outer(entry.from), outer(entry.to)];
    if (from === to) return;
    if (entry.chart === "boot") this.booted(sandboxId, from, to);
    else if (entry.chart === "sandbox") this.moved(sandboxId, to, entry.at);
  }

  private booted(sandboxId: string, from: string, to: string): void {
    const start = this.startOf(sandboxId);
    if (from !== "" && from !== "queued" && NEXT.has(to)) {
      const next = to === "queued" ? "queue" : (WAYS.get(to) ?? to);
      this.store.count("blazar_boot_fallbacks_total", { from: start.way ?? from, to: next });
    }
    start.way = WAYS.get(to) ?? start.way;
  }

  private moved(sandboxId: string, to: string, at: number): void {
    const start = this.startOf(sandboxId);
    if (to === "booting") start.since = at;
    if (to === "ready" && start.since !== undefined) {
      const path = start.way ?? "other";
      this.store.count("blazar_sandbox_starts_total", { path });
      this.store.observe(
        "blazar_sandbox_start_duration_seconds",
        { path },
        (at - start.since) / MILLISECONDS,
      );
      start.since = undefined;
    }
    // the chart knows why once it has arrived
    if (to === "stopping") queueMicrotask(() => this.goesDown(sandboxId));
  }

  private goesDown(sandboxId: string): void {
    const code = this.failureOf(sandboxId);
    if (code !== undefined) this.store.count("blazar_sandbox_failures_total", { code });
  }

  private startOf(sandboxId: string): Start {
    const known = this.starts.get(sandboxId);
    if (known !== undefined) return known;
    const start: Start = { since: undefined, way: undefined };
    this.starts.set(sandboxId, start);
    return start;
  }
}

/** `container/<id>` → `container`. */
function kindOf(chart: HistoryEntry["chart"]): string {
  return chart?.split("/")[0] ?? "";
}

/** `ready.running` → `ready`. */
function outer(path: string | undefined): string {
  return path?.split(".")[0] ?? "";
}
