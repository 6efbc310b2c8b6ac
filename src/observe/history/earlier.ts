/**
 * What an earlier daemon has recorded of a sandbox, so that the history goes on: checked, in the order in which things ended.
 *
 * A journal has what had ended when its daemon did. What went on then is known by what it has caused: it ends with what is known
 * last of that, as cut off.
 */
import type { HistoryEntry } from "../../contracts/inspection.ts";
import { entryOf } from "../replay/journal-text.ts";
import { boundedText } from "./bounded-text.ts";

const CUT_OFF = "cut off: the daemon ended";

/** Each id is there once. */
export function earlierEntries(recorded: readonly unknown[]): HistoryEntry[] {
  const entries = new Map<number, HistoryEntry>();
  for (const each of recorded) {
    const entry = entryOf(each);
    if (entry !== undefined && entry.id > 0) entries.set(entry.id, harmlessEntry(entry));
  }
  for (const cut of cutOff(entries)) entries.set(cut.id, cut);
  return [...entries.values()].sort((one, other) => endOf(one) - endOf(other) || one.id - other.id);
}

function cutOff(entries: ReadonlyMap<number, HistoryEntry>): HistoryEntry[] {
  const spans = new Map<number, { at: number; end: number; readonly chart: HistoryEntry["chart"] }>();
  for (const entry of entries.values()) {
    const { cause, at, chart } = entry;
    if (cause === undefined || entries.has(cause)) continue;
    const span = spans.get(cause) ?? { at, end: at, chart };
    span.at = Math.min(span.at, at);
    span.end = Math.max(span.end, endOf(entry));
    spans.set(cause, span);
  }
  return [...spans].map(([id, { at, end, chart }]) => ({
    ...{ id, kind: "step", at, ms: end - at, name: "what a daemon's end has cut off", error: CUT_OFF },
    ...(chart === undefined ? {} : { chart }),
  }));
}

function harmlessEntry(entry: HistoryEntry): HistoryEntry {
  const { name, error } = entry;
  return { ...entry, name: boundedText(name), ...(error === undefined ? {} : { error: boundedText(error) }) };
}

function endOf({ at, ms = 0 }: HistoryEntry): number {
  return at + ms;
}
