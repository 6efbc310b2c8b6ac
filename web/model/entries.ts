/** A sandbox's detail with one entry more. Pure. */

import { activePaths, chartOfKey } from "../../src/charts/names.ts";
import type { ChartState, HistoryEntry, SandboxDetail } from "../../src/contracts/inspection.ts";

/** With an entry that was told: a new one, or one that has ended now. A transition moves its chart. */
export function withEntry(detail: SandboxDetail, entry: HistoryEntry): SandboxDetail {
  const before = detail.history.find(({ id }) => id === entry.id);
  // an answer may know more than an entry that was told before it
  if (before !== undefined && (before.ms !== undefined || entry.ms === undefined)) return detail;
  const history = [...detail.history.filter(({ id }) => id !== entry.id), entry];
  if (entry.kind !== "transition" || entry.chart === undefined) return { ...detail, history };
  return { ...detail, history, charts: moved(detail.charts, entry, entry.chart) };
}

function moved(charts: readonly ChartState[], entry: HistoryEntry, key: ChartState["key"]): ChartState[] {
  const before = charts.find((chart) => chart.key === key);
  const state = { key, chart: chartOfKey(key), active: activePaths(entry.to ?? ""), since: entry.at };
  const after: ChartState = { ...state, context: before?.context ?? "{}" };
  return before === undefined
    ? [...charts, after]
    : charts.map((chart) => (chart === before ? after : chart));
}
