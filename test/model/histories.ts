/**
 * What holds of every history, whatever was asked and whatever has broken.
 */

import { allStates } from "../../src/charts/states.ts";
import type { HistoryEntry } from "../../src/contracts/inspection.ts";
import { chartDefinitions } from "../../src/observe/charts/definitions.ts";
import type { HistoryHub } from "../../src/observe/history/hub.ts";

/** Sentences about what is wrong. All sandboxes have ended. */
export function historyProblems({ records }: HistoryHub): string[] {
  return records.flatMap(({ id, entries, endedAt }) => {
    const problems = endedAt === undefined ? ["it has not ended"] : [];
    problems.push(...entries.all.filter(isOpen).map(({ name }) => `${name} has not ended`));
    if (entries.forgotten === 0) problems.push(...causeProblems(entries.all), ...pathProblems(entries.all));
    return problems.map((problem) => `${id}: ${problem}`);
  });
}

function isOpen({ kind, ms }: HistoryEntry): boolean {
  return ms === undefined && kind !== "transition" && kind !== "note";
}

function causeProblems(entries: readonly HistoryEntry[]): string[] {
  const ids = new Set(entries.map(({ id }) => id));
  const twice = ids.size === entries.length ? [] : ["an id is there twice"];
  const wrong = entries.filter(({ id, cause }) => cause !== undefined && !(ids.has(cause) && cause < id));
  return [...twice, ...wrong.map(({ id, cause }) => `entry ${id} has the cause ${cause}`)];
}

/** Every chart goes on from where it was, through states that its machine has. */
function pathProblems(entries: readonly HistoryEntry[]): string[] {
  const places = new Map<string, string>();
  const problems: string[] = [];
  for (const { kind, chart = "", from, to = "" } of entries) {
    if (kind !== "transition") continue;
    // a container or process of the same name may come again, and a boot
    if (from !== "" && from !== places.get(chart))
      problems.push(`${chart} went from ${from}, and was not there`);
    if (!STATES.has(to)) problems.push(`${chart} went to ${to}, which is no state`);
    places.set(chart, to);
  }
  return problems;
}

const STATES: ReadonlySet<string> = new Set(
  chartDefinitions().flatMap(({ states }) => allStates(states).map(({ path }) => path)),
);
