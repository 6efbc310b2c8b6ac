/** Which sandboxes are shown, and in which order: what needs attention comes first. Pure. */
import type { SandboxSummary } from "../../src/contracts/inspection.ts";
import type { SandboxPhase } from "../../src/contracts/sandbox.ts";

export type SortKey = "attention" | "name" | "state" | "start" | "age";

/** All phases, in the order of a life. */
export const PHASES: readonly SandboxPhase[] = [
  "creating",
  "created",
  "booting",
  "ready",
  "stopping",
  "stopped",
  "failed",
];

export interface FleetFilter {
  /** Words that must all be in the name, the namespace, the id, the state or the path. */
  readonly text: string;
  /** Empty: all. */
  readonly phases: ReadonlySet<string>;
  readonly onlyStuck: boolean;
}

export const EVERYTHING: FleetFilter = { text: "", phases: new Set(), onlyStuck: false };

export function filtered(all: readonly SandboxSummary[], filter: FleetFilter): SandboxSummary[] {
  const words = filter.text
    .toLowerCase()
    .split(/\s+/)
    .filter((word) => word !== "");
  return all.filter((sandbox) => {
    if (filter.onlyStuck && sandbox.stuck === undefined) return false;
    if (filter.phases.size > 0 && !filter.phases.has(sandbox.phase)) return false;
    const { name, namespace } = sandbox.pod;
    const text = `${namespace}/${name} ${sandbox.id} ${sandbox.state} ${sandbox.path}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

export function sorted(
  sandboxes: readonly SandboxSummary[],
  key: SortKey,
  descending: boolean,
): SandboxSummary[] {
  const sign = descending ? -1 : 1;
  return [...sandboxes].sort(
    (a, b) => sign * compare(a, b, key) || b.createdAt - a.createdAt || compareText(a.id, b.id),
  );
}

export function countsByPhase(all: readonly SandboxSummary[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { phase } of all) counts.set(phase, (counts.get(phase) ?? 0) + 1);
  return counts;
}

/** 0: stuck. 1: failed. 2: on its way. 3: runs. 4: has ended. */
export function rank(sandbox: SandboxSummary): number {
  if (sandbox.stuck !== undefined) return 0;
  if (sandbox.phase === "failed" || (sandbox.failure !== undefined && sandbox.endedAt === undefined))
    return 1;
  if (sandbox.endedAt !== undefined || sandbox.phase === "stopped") return 4;
  return sandbox.phase === "ready" ? 3 : 2;
}

function compare(a: SandboxSummary, b: SandboxSummary, key: SortKey): number {
  if (key === "attention") return rank(a) - rank(b) || (rank(a) < 3 ? a.since - b.since : 0);
  if (key === "name")
    return compareText(a.pod.namespace, b.pod.namespace) || compareText(a.pod.name, b.pod.name);
  if (key === "state") return compareText(a.state, b.state);
  if (key === "start") return (a.startMs ?? -1) - (b.startMs ?? -1);
  return b.createdAt - a.createdAt;
}

function compareText(a: string, b: string): number {
  return a < b ? -1 : Number(a > b);
}
