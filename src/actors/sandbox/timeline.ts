/**
 * Where the time of a sandbox goes: its states in order, each with how long it was held.
 */
import type { HistoryEntry } from "../../contracts/inspection.ts";

export interface TimelineStep {
  readonly state: string;
  /** Milliseconds. */
  readonly ms: number;
  /** Something that happened in this state; it took no time. */
  readonly note?: string;
}

/** States remembered: enough for a whole life, bounded for a long one that is paused and resumed. */
const MOST_STEPS = 64;

export class Timeline {
  readonly steps: TimelineStep[] = [];
  private state = "";
  private since = 0;

  constructor(private readonly now: () => number) {}

  /** Something worth to know has happened. */
  noted(note: string): void {
    if (this.steps.length < MOST_STEPS) this.steps.push({ state: this.state, ms: 0, note });
  }

  /** What an earlier daemon has recorded of the sandbox's chart and its boot's, oldest first. */
  restore(history: readonly HistoryEntry[]): void {
    for (const { kind, chart, to, at } of history) {
      if (kind !== "transition" || typeof to !== "string" || typeof at !== "number") continue;
      if (chart === "boot") this.entered(`booting.${to.split(".", 1)[0] ?? ""}`, at);
      if (chart === "sandbox" && to !== "booting") this.entered(to, at);
    }
  }

  entered(state: string, now: number = this.now()): void {
    if (state === this.state) return;
    if (this.state !== "") {
      const ms = now - this.since;
      if (this.steps.length < MOST_STEPS) this.steps.push({ state: this.state, ms });
    }
    this.state = state;
    this.since = now;
  }
}
