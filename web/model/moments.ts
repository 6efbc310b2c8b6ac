/**
 * What a sandbox's charts were at an instant of its history. Pure.
 *
 * A chart is where its last transition led to. Before its first one it is not there.
 */
import { goesOn, transitionsUntil } from "../../src/charts/entries.ts";
import { activePaths, chartOfKey, sandboxPath } from "../../src/charts/names.ts";
import type { ChartKey, ChartName, HistoryEntry, SandboxDetail } from "../../src/contracts/inspection.ts";

/** A chart at an instant. */
export interface ChartMoment {
  readonly key: ChartKey;
  readonly chart: ChartName;
  /** Paths of active states, outer ones first; empty before the chart began. */
  readonly active: readonly string[];
  readonly since: number;
  /** The transition that led there; undefined if it is not in the history. */
  readonly by?: HistoryEntry;
  /** Milliseconds spent in each state up to the instant, by path; also of outer states. */
  readonly spent: ReadonlyMap<string, number>;
}

/** All charts that the sandbox has or had, in the order in which they began. */
export function chartKeys({ charts, history }: SandboxDetail): ChartKey[] {
  const ordered = transitionsUntil(history, Number.POSITIVE_INFINITY).flatMap(({ chart }) =>
    chart === undefined ? [] : [chart],
  );
  const keys = new Set<ChartKey>(["sandbox", ...ordered, ...charts.map(({ key }) => key)]);
  return [...keys];
}

/** A chart as it was at an instant. */
export function chartAt(detail: SandboxDetail, key: ChartKey, at: number): ChartMoment {
  const taken = transitionsUntil(detail.history, at).filter(({ chart }) => chart === key);
  const spent = new Map<string, number>();
  for (const [index, entry] of taken.entries()) {
    const left = Math.min(at, taken[index + 1]?.at ?? lastOf(detail, key, at));
    for (const path of activePaths(entry.to ?? ""))
      spent.set(path, (spent.get(path) ?? 0) + Math.max(0, left - entry.at));
  }
  const by = taken.at(-1);
  const now = detail.charts.find((chart) => chart.key === key);
  // the history begins later than the chart if it had to make room
  if (by === undefined && now !== undefined && now.since <= at)
    return { key, chart: now.chart, active: now.active, since: now.since, spent };
  const active = activePaths(by?.to ?? "");
  return {
    key,
    chart: chartOfKey(key),
    active,
    since: by?.at ?? at,
    ...(by === undefined ? {} : { by }),
    spent,
  };
}

/** What went on at an instant: begun, and not ended. */
export function goingOnAt(history: readonly HistoryEntry[], at: number): HistoryEntry[] {
  return history.filter((entry) => goesOn(entry, at));
}

/** The instants at which a chart moved or a call began, for stepping through. */
export function momentsOf({ summary, history }: SandboxDetail): number[] {
  const moments = new Set([summary.createdAt]);
  for (const entry of history) if (entry.kind !== "effect" && entry.kind !== "step") moments.add(entry.at);
  return [...moments].sort((a, b) => a - b);
}

/** The sandbox's innermost state at an instant; see {@link sandboxPath}. */
export function stateAt(detail: SandboxDetail, at: number): string {
  const sandbox = chartAt(detail, "sandbox", at).active.at(-1) ?? "";
  return sandboxPath(sandbox, chartAt(detail, "boot", at).active.at(-1));
}

/** A chart that is gone ended no later than the sandbox. */
function lastOf({ charts, summary }: SandboxDetail, key: ChartKey, at: number): number {
  return charts.some((chart) => chart.key === key) ? at : Math.min(at, summary.endedAt ?? at);
}
