/**
 * Entries of a history by time: what takes time, what goes on at an instant, and where charts had moved to by then.
 *
 * Everything that shows how things were, forwards or back, reads a history by these. Pure; runs in a browser.
 */
import type { HistoryEntry } from "../contracts/inspection.ts";

type Timed = Pick<HistoryEntry, "kind" | "at" | "ms">;

/** Calls, effects and steps begin and end. Transitions and notes happen at an instant. */
export function takesTime({ kind }: Pick<HistoryEntry, "kind">): boolean {
  return kind === "call" || kind === "effect" || kind === "step";
}

/** Begun by then, and not ended. */
export function goesOn(entry: Timed, at: number): boolean {
  return takesTime(entry) && entry.at <= at && (entry.ms === undefined || entry.at + entry.ms > at);
}

/** When it ended, or happened; `now` while it goes on. */
export function endOf(entry: Timed, now: number): number {
  if (entry.ms !== undefined) return entry.at + entry.ms;
  return takesTime(entry) ? Math.max(entry.at, now) : entry.at;
}

/** By when they began; those that began at once by their ids. */
export function inOrder(history: readonly HistoryEntry[]): HistoryEntry[] {
  return [...history].sort((one, other) => one.at - other.at || one.id - other.id);
}

/** The transitions up to an instant, in order. */
export function transitionsUntil(history: readonly HistoryEntry[], at: number): HistoryEntry[] {
  return inOrder(history.filter((entry) => entry.kind === "transition" && entry.at <= at));
}
