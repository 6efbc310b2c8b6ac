/**
 * A sandbox's history as a waterfall: each entry below its cause, with a bar that says when it was and how long it took.
 *
 * A life has bursts with long pauses between them: a start, and hours later a stop. Each burst has a scale of its own. An entry is
 * indented by what was still under way when it began.
 */
import { endOf, takesTime } from "../../charts/entries.ts";
import type { HistoryEntry } from "../../contracts/inspection.ts";
import { harmless } from "../../lib/harmless.ts";
import { moment, span } from "../quantities.ts";
import type { Paint, Screen } from "../screen.ts";
import { fitted, greatest, padded, table } from "./table.ts";

/** A pause of this length begins another burst, unless something is under way. */
const PAUSE_MS = 500;
const LEAST_BAR = 10;
const MOST_BAR = 48;
const MOST_TEXT = 60;
const EIGHTHS = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"] as const;

export interface Burst {
  readonly from: number;
  readonly to: number;
  readonly entries: readonly HistoryEntry[];
}

/** Entries by when they began, in bursts. */
export function bursts(history: readonly HistoryEntry[], now: number): Burst[] {
  const sorted = [...history].sort((a, b) => a.at - b.at || a.id - b.id);
  const found: { from: number; to: number; entries: HistoryEntry[] }[] = [];
  for (const entry of sorted) {
    const current = found.at(-1);
    const end = endOf(entry, now);
    if (current === undefined || entry.at > current.to + PAUSE_MS)
      found.push({ from: entry.at, to: end, entries: [entry] });
    else {
      current.entries.push(entry);
      current.to = Math.max(current.to, end);
    }
  }
  return found;
}

/** The waterfall of all bursts. `since` is what times count from. */
export function waterfall(history: readonly HistoryEntry[], since: number, screen: Screen): string {
  const { paint, now } = screen;
  const depths = depthsOf(history, now);
  return bursts(history, now)
    .map((burst) => {
      const heading = `${moment(burst.from)}  +${span(Math.max(0, burst.from - since))}, ${span(burst.to - burst.from)} long`;
      return `${paint.bold(fitted(heading, screen.columns))}\n${rows(burst, depths, screen)}`;
    })
    .join("\n");
}

function rows(burst: Burst, depths: ReadonlyMap<number, number>, screen: Screen): string {
  const { paint, now } = screen;
  const texts = burst.entries.map((entry) => {
    const indent = "  ".repeat(depths.get(entry.id) ?? 0);
    return [
      `${entry.id}`,
      entry.cause === undefined ? "" : `${entry.cause}`,
      `+${span(entry.at - burst.from)}`,
      tookText(entry, now),
      `${indent}${fitted(entryText(entry), MOST_TEXT)}`,
    ];
  });
  const heading = ["ID", "BY", "AT", "TOOK", "WHAT"];
  const widths = heading.map((name, index) =>
    Math.max(
      name.length,
      greatest(texts, (row) => row[index]?.length ?? 0),
    ),
  );
  const left = widths.reduce((sum, width) => sum + width + 2, 0);
  const room = Math.min(MOST_BAR, screen.columns - left);
  const bars = burst.entries.map((entry) => (room < LEAST_BAR ? "" : bar(entry, burst, room, now)));
  const painted = texts.map((row, index) => {
    const entry = burst.entries[index];
    const what = entry === undefined ? "" : paintedEntry(row[4] ?? "", entry, paint);
    return [...row.slice(0, 4), what, bars[index] ?? ""];
  });
  return table([heading, ...painted], screen);
}

function bar(entry: HistoryEntry, { from, to }: Burst, room: number, now: number): string {
  const scale = room / Math.max(1, to - from);
  const start = Math.min(room - 1, Math.floor((entry.at - from) * scale));
  const length = (endOf(entry, now) - entry.at) * scale;
  const whole = Math.min(room - start, Math.floor(length));
  const part = EIGHTHS[Math.floor((length - Math.floor(length)) * 8)] ?? "";
  const drawn = "█".repeat(whole) + (whole + start < room ? part : "");
  return padded("", start) + (drawn === "" ? "▏" : drawn);
}

/** What happened, in one line: `booting → ready.running (done)`. */
export function entryText(entry: HistoryEntry): string {
  const error = entry.error === undefined ? "" : ` ✗ ${entry.error}`;
  const chart = entry.chart === undefined || entry.chart === "sandbox" ? "" : `${shortChart(entry.chart)}: `;
  if (entry.kind !== "transition")
    return harmless(`${entry.kind === "note" ? "· " : ""}${entry.name}${error}`);
  const from = entry.from === undefined || entry.from === "" ? "" : `${entry.from} `;
  const on = entry.name === "" ? "" : ` (${entry.name})`;
  return harmless(`${chart}${from}→ ${entry.to ?? ""}${on}${error}`);
}

/** Ids of containers are long; their beginnings tell them apart. */
function shortChart(key: string): string {
  const [name = "", ...ids] = key.split("/");
  return [name, ...ids.filter((id) => id !== "").map((id) => id.slice(0, 12))].join("/");
}

function tookText(entry: HistoryEntry, now: number): string {
  if (entry.ms !== undefined) return span(entry.ms);
  return takesTime(entry) ? `${span(now - entry.at)}…` : "";
}

function paintedEntry(text: string, { kind, error, ms }: HistoryEntry, paint: Paint): string {
  if (error !== undefined) return paint.red(text);
  if (kind === "call") return paint.bold(text);
  if (kind === "transition") return paint.cyan(text);
  if (kind === "note") return paint.yellow(text);
  return ms === undefined ? paint.yellow(text) : text;
}

/** How many of an entry's causes were still under way when it began. */
function depthsOf(history: readonly HistoryEntry[], now: number): Map<number, number> {
  const byId = new Map(history.map((entry) => [entry.id, entry]));
  const depthOf = (entry: HistoryEntry): number => {
    let depth = 0;
    const seen = new Set<number>();
    let cause = entry.cause === undefined ? undefined : byId.get(entry.cause);
    while (cause !== undefined && !seen.has(cause.id)) {
      seen.add(cause.id);
      if (endOf(cause, now) > entry.at) depth += 1;
      cause = cause.cause === undefined ? undefined : byId.get(cause.cause);
    }
    return depth;
  };
  return new Map(history.map((entry) => [entry.id, depthOf(entry)]));
}
