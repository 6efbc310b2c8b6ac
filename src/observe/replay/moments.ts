/**
 * A sandbox as it was at a moment of its history: which states its charts were in, what went on.
 *
 * Pure; runs in a browser. What has made room in the history is not known, so a chart whose beginning was forgotten appears with
 * the first transition that is left.
 */

import { goesOn, transitionsUntil } from "../../charts/entries.ts";
import { activePaths, chartOfKey } from "../../charts/names.ts";
import { findState } from "../../charts/states.ts";
import type { ChartDefinition, ChartKey, ChartState, HistoryEntry } from "../../contracts/inspection.ts";

/** The states of all charts at a time, the sandbox's first. */
export function statesAt(history: readonly HistoryEntry[], at: number): ChartState[] {
  const states = new Map<ChartKey, ChartState>();
  for (const { chart, to, at: moved } of transitionsUntil(history, at)) {
    if (chart === undefined || to === undefined) continue;
    states.set(chart, {
      ...{ key: chart, chart: chartOfKey(chart), active: activePaths(to), since: moved, context: "{}" },
    });
  }
  return [...states.values()].sort((one, other) => rank(one.key) - rank(other.key));
}

/** What had begun by then, as it was known then: what had not ended has no `ms` and no error. */
export function historyAt(history: readonly HistoryEntry[], at: number): HistoryEntry[] {
  const begun = history.filter((entry) => entry.at <= at);
  const going = begun.filter((entry) => goesOn(entry, at)).map(({ ms: _, error: __, ...entry }) => entry);
  return [...begun.filter((entry) => !goesOn(entry, at)), ...going];
}

/** What the last states waited for, where a journal ends without a word of it. */
export function effectsUnderWay(
  history: readonly HistoryEntry[],
  states: readonly ChartState[],
  charts: readonly ChartDefinition[],
): HistoryEntry[] {
  let id = history.reduce((most, entry) => Math.max(most, entry.id), 0);
  return states.flatMap(({ key, chart, active, since }) =>
    active.flatMap((path) => {
      const effects = findState(charts.find(({ name }) => name === chart)?.states ?? [], path)?.effects ?? [];
      return effects
        .filter((name) => !history.some((entry) => isEnded(entry, key, name, since)))
        .map((name): HistoryEntry => ({ id: ++id, kind: "effect", chart: key, at: since, name }));
    }),
  );
}

function isEnded(entry: HistoryEntry, key: ChartKey, name: string, since: number): boolean {
  return entry.kind === "effect" && entry.chart === key && entry.name === name && entry.at >= since;
}

function rank(key: ChartKey): number {
  if (key === "sandbox") return 0;
  return key === "boot" ? 1 : 2;
}
