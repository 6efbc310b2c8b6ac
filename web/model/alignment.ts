/**
 * Two sandboxes step by step beside each other: "why was this one slow?". Pure.
 *
 * A step is a stay in a state of a chart, or an effect or a part of one. Steps of both are aligned by their names in the order
 * of time (longest common subsequence). Containers have other ids in each sandbox, so they are counted.
 */

import { chartOfKey } from "../../src/charts/names.ts";
import type { ChartKey, HistoryEntry, SandboxDetail } from "../../src/contracts/inspection.ts";

export interface Step {
  /** The same in both sandboxes. */
  readonly key: string;
  /** `boot`, `container 1`. */
  readonly chart: string;
  readonly kind: "state" | "effect" | "step";
  readonly name: string;
  readonly at: number;
  readonly ms: number;
  readonly error?: string | undefined;
  readonly entryId: number;
}

export type Mark = "alike" | "slower" | "faster" | "onlyFirst" | "onlySecond";

export interface AlignedStep {
  readonly key: string;
  readonly chart: string;
  readonly kind: Step["kind"];
  readonly name: string;
  readonly first?: Step | undefined;
  readonly second?: Step | undefined;
  /** The second's time minus the first's. */
  readonly ms: number;
  /** Of the second, seen from the first. */
  readonly mark: Mark;
}

/** A difference counts from here on, and from this share of the longer one. */
const LEAST_MS = 5;
const LEAST_SHARE = 0.2;

/** The steps of a sandbox in the order in which they began. @param now ends what goes on */
export function stepsOf({ history, summary }: SandboxDetail, now: number): Step[] {
  const end = summary.endedAt ?? now;
  const inOrder = [...history].sort((a, b) => a.id - b.id);
  const names = chartNames(inOrder);
  const steps: Step[] = [];
  for (const [index, entry] of inOrder.entries()) {
    const chart = entry.chart === undefined ? "" : (names.get(entry.chart) ?? entry.chart);
    const common = { chart, at: entry.at, entryId: entry.id };
    if (entry.kind === "transition") {
      const left = inOrder
        .slice(index + 1)
        .find((later) => later.kind === "transition" && later.chart === entry.chart);
      // the last state of a chart is where it stays: no step on the way
      if (left === undefined && summary.endedAt !== undefined) continue;
      const name = entry.to ?? "";
      const ms = (left?.at ?? end) - entry.at;
      // a transition that tells an error leaves the state that has failed
      steps.push({ ...common, key: `${chart}|state|${name}`, kind: "state", name, ms, error: left?.error });
    }
    if (entry.kind === "effect" || entry.kind === "step") {
      const { kind, name } = entry;
      const ms = entry.ms ?? end - entry.at;
      steps.push({ ...common, key: `${chart}|${kind}|${name}`, kind, name, ms, error: entry.error });
    }
  }
  return steps;
}

/** Aligns the steps of two sandboxes. */
export function align(first: readonly Step[], second: readonly Step[]): AlignedStep[] {
  const lengths = commonLengths(first, second);
  const aligned: AlignedStep[] = [];
  let [a, b] = [0, 0];
  while (a < first.length || b < second.length) {
    const [left, right] = [first[a], second[b]];
    if (left !== undefined && right !== undefined && left.key === right.key) {
      aligned.push(pair(left, right));
      a++;
      b++;
    } else if (
      right === undefined ||
      (left !== undefined && at(lengths, a + 1, b) >= at(lengths, a, b + 1))
    ) {
      aligned.push(pair(left, undefined));
      a++;
    } else {
      aligned.push(pair(undefined, right));
      b++;
    }
  }
  return aligned;
}

/** What made the difference, the largest first: only stays in states that no other one is part of. */
export function mainDifferences(aligned: readonly AlignedStep[], most = 3): AlignedStep[] {
  const inner = aligned.filter(({ kind, mark, chart, name }) => {
    const outer = chart === "sandbox" && name === "booting";
    return kind === "state" && mark !== "alike" && !outer && !restful(name);
  });
  return inner.sort((a, b) => Math.abs(b.ms) - Math.abs(a.ms)).slice(0, most);
}

/** A sandbox that runs, waits or has stopped is not on its way. */
function restful(name: string): boolean {
  return /^(ready|created|stopped|present|running|exited)\b/.test(name);
}

function pair(first: Step | undefined, second: Step | undefined): AlignedStep {
  const { key = "", chart = "", kind = "state", name = "" } = first ?? second ?? {};
  const ms = (second?.ms ?? 0) - (first?.ms ?? 0);
  return { key, chart, kind, name, first, second, ms, mark: markOf(first, second, ms) };
}

function markOf(first: Step | undefined, second: Step | undefined, ms: number): Mark {
  if (second === undefined) return "onlyFirst";
  if (first === undefined) return "onlySecond";
  const least = Math.max(LEAST_MS, LEAST_SHARE * Math.max(first.ms, second.ms));
  if (Math.abs(ms) < least) return "alike";
  return ms > 0 ? "slower" : "faster";
}

/** `container/ab12` → `container 1`. */
function chartNames(inOrder: readonly HistoryEntry[]): Map<ChartKey, string> {
  const names = new Map<ChartKey, string>();
  const counts = new Map<string, number>();
  for (const { chart } of inOrder) {
    if (chart === undefined || names.has(chart)) continue;
    const kind = chartOfKey(chart);
    const count = (counts.get(kind) ?? 0) + 1;
    counts.set(kind, count);
    names.set(chart, kind === "container" || kind === "process" ? `${kind} ${count}` : kind);
  }
  return names;
}

/** Lengths of longest common subsequences of what is left of both, row by row. */
function commonLengths(first: readonly Step[], second: readonly Step[]): Uint16Array[] {
  const rows = Array.from({ length: first.length + 1 }, () => new Uint16Array(second.length + 1));
  for (let a = first.length - 1; a >= 0; a--) {
    for (let b = second.length - 1; b >= 0; b--) {
      const same = first[a]?.key === second[b]?.key;
      const row = rows[a];
      if (row !== undefined)
        row[b] = same ? at(rows, a + 1, b + 1) + 1 : Math.max(at(rows, a + 1, b), at(rows, a, b + 1));
    }
  }
  return rows;
}

function at(rows: readonly Uint16Array[], a: number, b: number): number {
  return rows[a]?.[b] ?? 0;
}
