/**
 * A sandbox's history as instants that one can step through, and how things were at each. Pure.
 *
 * A chart is where its last transition has led to; before its first one it is not there. What began and has not ended goes on.
 */
import { takesTime } from "../../charts/entries.ts";
import { sandboxPath } from "../../charts/names.ts";
import type { ChartKey, HistoryEntry, SandboxDetail } from "../../contracts/inspection.ts";

/** Something began, ended or moved. */
export interface Instant {
  readonly at: number;
  readonly entry: HistoryEntry;
  readonly what: "began" | "ended" | "happened";
}

/** How things were at an instant. */
export interface Moment {
  /** Path of the innermost state of the sandbox, the boot's included; "" before the first. */
  readonly state: string;
  /** Chart → path of its innermost state. */
  readonly charts: ReadonlyMap<ChartKey, string>;
  /** Calls, effects and steps that went on, the first begun first. */
  readonly goingOn: readonly HistoryEntry[];
}

/** In the order in which they came. */
export function instantsOf({ history }: Pick<SandboxDetail, "history">): Instant[] {
  const all = history.flatMap((entry): Instant[] => {
    if (!takesTime(entry)) return [{ at: entry.at, entry, what: "happened" }];
    const began: Instant = { at: entry.at, entry, what: "began" };
    return entry.ms === undefined ? [began] : [began, { at: entry.at + entry.ms, entry, what: "ended" }];
  });
  return all
    .map((instant, index) => ({ instant, index }))
    .sort(inOrder)
    .map(({ instant }) => instant);
}

/** How things were when the instants up to and with number `last` had come. */
export function momentAfter(instants: readonly Instant[], last: number): Moment {
  let moment: Moment = { state: "", charts: new Map(), goingOn: [] };
  for (const next of momentsAfter(instants.slice(0, last + 1))) moment = next;
  return moment;
}

/** How things were after each instant, one after the other; a moment holds until the next one is asked for. */
export function* momentsAfter(instants: readonly Instant[]): Generator<Moment> {
  const charts = new Map<ChartKey, string>();
  const goingOn = new Map<number, HistoryEntry>();
  for (const { entry, what } of instants) {
    if (what === "began") goingOn.set(entry.id, entry);
    if (what === "ended") goingOn.delete(entry.id);
    if (entry.kind === "transition" && entry.chart !== undefined) charts.set(entry.chart, entry.to ?? "");
    yield {
      state: sandboxPath(charts.get("sandbox") ?? "", charts.get("boot")),
      charts,
      get goingOn() {
        return [...goingOn.values()];
      },
    };
  }
}

/** Where stepping begins and goes to: a chart moved, or a call began or ended. */
export function isMilestone({ entry: { kind } }: Instant): boolean {
  return kind === "transition" || kind === "call" || kind === "note";
}

/** At the same time: what ended comes before what that has caused, and causes before their effects. */
function inOrder(
  a: { readonly instant: Instant; readonly index: number },
  b: { readonly instant: Instant; readonly index: number },
): number {
  const byTime = a.instant.at - b.instant.at;
  if (byTime !== 0) return byTime;
  const [first, second] = [a.instant, b.instant];
  if (first.entry.id === second.entry.id) return first.what === "began" ? -1 : 1;
  if (first.what === "ended" && second.what === "ended") return second.entry.id - first.entry.id;
  if (first.what === "ended" && second.entry.id > first.entry.id) return -1;
  if (second.what === "ended" && first.entry.id > second.entry.id) return 1;
  return first.entry.id - second.entry.id;
}
