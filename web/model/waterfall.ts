/**
 * The rows of a timeline: an entry each, below what has caused it. Pure.
 *
 * A chain of causes is as long as the sandbox's life: each effect causes the next transition. So depth is not the length of the
 * chain: a transition stands beside the transition before it, an effect below its transition, a step below its effect.
 */
import { takesTime } from "../../src/charts/entries.ts";
import type { HistoryEntry } from "../../src/contracts/inspection.ts";
import { Causes } from "./causes.ts";

export interface Row {
  readonly entry: HistoryEntry;
  readonly depth: number;
  readonly from: number;
  /** When it ended; now, if it goes on. */
  readonly to: number;
  /** It goes on. */
  readonly open: boolean;
}

const MOST_DEPTH = 5;

/** Groups of entries with the same first cause, in the order of these; inside of a group in the order of time. */
export function rowsOf(history: readonly HistoryEntry[], now: number): Row[] {
  const causes = new Causes(history);
  const depths = new Map<number, number>();
  const roots = new Map<number, HistoryEntry>();
  const inOrder = [...history].sort((a, b) => a.id - b.id);
  for (const entry of inOrder) {
    const cause = causes.causeOf(entry);
    roots.set(entry.id, cause === undefined ? entry : (roots.get(cause.id) ?? entry));
    depths.set(
      entry.id,
      cause === undefined ? 0 : Math.min(MOST_DEPTH, depthBelow(entry, cause, causes, depths)),
    );
  }
  const rows = inOrder.map((entry): Row => {
    const open = entry.ms === undefined && takesTime(entry);
    const to = open ? Math.max(now, entry.at) : entry.at + (entry.ms ?? 0);
    return { entry, depth: depths.get(entry.id) ?? 0, from: entry.at, to, open };
  });
  const rootOf = ({ entry }: Row): HistoryEntry => roots.get(entry.id) ?? entry;
  return rows.sort((a, b) => {
    const [rootA, rootB] = [rootOf(a), rootOf(b)];
    return rootA.at - rootB.at || rootA.id - rootB.id || a.from - b.from || a.entry.id - b.entry.id;
  });
}

function depthBelow(
  entry: HistoryEntry,
  cause: HistoryEntry,
  causes: Causes,
  depths: ReadonlyMap<number, number>,
): number {
  if (entry.kind === "transition") {
    for (let above: HistoryEntry | undefined = cause; above !== undefined; above = causes.causeOf(above))
      if (above.kind === "transition" && above.chart === entry.chart) return depths.get(above.id) ?? 0;
  }
  return (depths.get(cause.id) ?? 0) + 1;
}
