/**
 * What an earlier daemon has recorded of a sandbox, so that the history goes on: checked, in the order in which things ended.
 *
 * A journal has what had ended when its daemon did, in that order, which counts more than times: the host's clock may have been
 * set. What went on then is known by what it has caused: it ends with what is known last of that, as cut off.
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
  const cut = cutOff(entries);
  return [...entries.values()].flatMap((entry) => [entry, ...(cut.get(entry.id) ?? [])]);
}

/** Where a sandbox's VM came from, by the effect of its boot that has brought it about. */
const ORIGINS: Readonly<Record<string, string>> = {
  adopt: "warm",
  fork: "fork",
  clone: "clone",
  boot: "boot",
};

/** As the context of the chart `boot` says it, which an earlier daemon had. Undefined: there is no VM yet. */
export function earlierOrigin(entries: readonly HistoryEntry[]): string | undefined {
  const brought = entries.filter(
    ({ kind, chart, name, ms, error }) =>
      kind === "effect" && chart === "boot" && name in ORIGINS && ms !== undefined && error === undefined,
  );
  return ORIGINS[brought.at(-1)?.name ?? ""];
}

/** By the id of the entry that each comes after: the last one that it has caused. */
function cutOff(entries: ReadonlyMap<number, HistoryEntry>): ReadonlyMap<number, HistoryEntry[]> {
  const spans = new Map<number, Span>();
  for (const entry of entries.values()) {
    const { cause, at, chart } = entry;
    if (cause === undefined || entries.has(cause)) continue;
    const span = spans.get(cause) ?? { at, end: at, chart, last: entry.id };
    span.at = Math.min(span.at, at);
    span.end = Math.max(span.end, endOf(entry));
    span.last = entry.id;
    spans.set(cause, span);
  }
  const cut = new Map<number, HistoryEntry[]>();
  for (const [id, { at, end, chart, last }] of spans) {
    const entry: HistoryEntry = {
      ...{ id, kind: "step", at, ms: end - at, name: "what a daemon's end has cut off", error: CUT_OFF },
      ...(chart === undefined ? {} : { chart }),
    };
    cut.set(last, [...(cut.get(last) ?? []), entry]);
  }
  return cut;
}

interface Span {
  at: number;
  end: number;
  readonly chart: HistoryEntry["chart"];
  /** Id of the last entry that it has caused. */
  last: number;
}

function harmlessEntry(entry: HistoryEntry): HistoryEntry {
  const { name, error } = entry;
  return { ...entry, name: boundedText(name), ...(error === undefined ? {} : { error: boundedText(error) }) };
}

function endOf({ at, ms = 0 }: HistoryEntry): number {
  return at + ms;
}
