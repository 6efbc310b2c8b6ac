/**
 * What pods use: rates from two readings, and the table of `blazar top`.
 */
import type { NodeStatus, SandboxSummary, SandboxUsage } from "../../contracts/inspection.ts";
import { harmless } from "../../lib/harmless.ts";
import { podName, shortId } from "../named.ts";
import { age, size, span } from "../quantities.ts";
import type { Screen } from "../screen.ts";
import { paintedState, shortName } from "../tables/sandbox-table.ts";
import { fitted, table } from "../tables/table.ts";

/** What a pod uses now; percents are of one processor. Undefined: not known. */
export interface UsageRow {
  readonly summary: SandboxSummary;
  readonly cpuPercent: number | undefined;
  readonly memoryBytes: number | undefined;
  readonly pids: number | undefined;
  /** Of the VMM's process, which includes what runs in the guest. */
  readonly vmmCpuPercent: number | undefined;
  readonly vmmMemoryBytes: number | undefined;
}

/** What rows are sorted by, and the key that asks for it. */
export const ORDERS = { c: "cpu", m: "memory", v: "vmm memory", n: "name", s: "state" } as const;
export type Order = (typeof ORDERS)[keyof typeof ORDERS];

/** Rates of each sandbox between two readings. */
export function usageRows(
  sandboxes: readonly SandboxSummary[],
  before: readonly SandboxUsage[],
  now: readonly SandboxUsage[],
): UsageRow[] {
  const first = new Map(before.map((usage) => [usage.sandboxId, usage]));
  const last = new Map(now.map((usage) => [usage.sandboxId, usage]));
  return sandboxes.map((summary) => {
    const [then, usage] = [first.get(summary.id), last.get(summary.id)];
    const ms = usage === undefined || then === undefined ? 0 : usage.at - then.at;
    const percent = (from: number | undefined, to: number | undefined) =>
      ms <= 0 || from === undefined || to === undefined ? undefined : Math.max(0, (100 * (to - from)) / ms);
    return {
      summary,
      cpuPercent: percent(then?.containers?.cpuMs, usage?.containers?.cpuMs),
      memoryBytes: usage?.containers?.memoryBytes,
      pids: usage?.containers?.pids,
      vmmCpuPercent: percent(then?.vmm?.cpuMs, usage?.vmm?.cpuMs),
      vmmMemoryBytes: usage?.vmm?.memoryBytes,
    };
  });
}

export function sorted(rows: readonly UsageRow[], order: Order): UsageRow[] {
  const by: Readonly<Record<Order, (a: UsageRow, b: UsageRow) => number>> = {
    cpu: (a, b) => (b.vmmCpuPercent ?? -1) - (a.vmmCpuPercent ?? -1),
    memory: (a, b) => (b.memoryBytes ?? -1) - (a.memoryBytes ?? -1),
    "vmm memory": (a, b) => (b.vmmMemoryBytes ?? -1) - (a.vmmMemoryBytes ?? -1),
    name: (a, b) => podName(a.summary).localeCompare(podName(b.summary), "en"),
    state: (a, b) =>
      a.summary.state.localeCompare(b.summary.state, "en") || a.summary.since - b.summary.since,
  };
  return [...rows].sort((a, b) => rank(a) - rank(b) || by[order](a, b));
}

export function usageTable(rows: readonly UsageRow[], screen: Screen): string {
  const heading = ["ID", "POD", "STATE", "FOR", "CPU", "MEMORY", "PIDS", "VMM CPU", "VMM MEMORY", "VM COST"];
  const lines = rows.map(({ summary, cpuPercent, memoryBytes, pids, vmmCpuPercent, vmmMemoryBytes }) => {
    const cost =
      vmmMemoryBytes === undefined || memoryBytes === undefined ? undefined : vmmMemoryBytes - memoryBytes;
    return [
      ...[shortId(summary.id), shortName(summary, screen.columns), paintedState(summary, screen.paint)],
      ...[age(screen.now - summary.since), percentText(cpuPercent), sizeText(memoryBytes)],
      ...[pids === undefined ? "-" : `${pids}`, percentText(vmmCpuPercent), sizeText(vmmMemoryBytes)],
      sizeText(cost === undefined ? undefined : Math.max(0, cost)),
    ];
  });
  return table([heading, ...lines], screen);
}

/** The node in a few lines. */
export function nodeHeader(node: NodeStatus, { paint, columns }: Screen): string {
  const phases = Object.entries(node.phases)
    .filter(([, count]) => count > 0)
    .map(([phase, count]) => `${count} ${harmless(phase)}`);
  const start = node.steps.find(({ step }) => step === "start");
  const figures = start === undefined ? "" : `, p50 ${span(start.p50)}, p99 ${span(start.p99)}`;
  const lines = [
    `blazar ${harmless(node.version)}, pid ${node.pid}, up ${age(node.now - node.startedAt)}, ${harmless(node.vmm)}, ${harmless(node.acceleration)}, daemon ${size(node.memoryBytes)}`,
    `sandboxes: ${phases.join(", ") || "none"}; pool: ${node.pool.warm} of ${node.pool.wanted}; starts: ${node.startsLastMinute} in the last minute${figures}`,
    ...(node.stuck > 0 ? [paint.red(paint.bold(`${node.stuck} stuck`))] : []),
    ...node.troubles.map((text) => paint.red(paint.bold(harmless(text)))),
    ...node.shortages.map((text) => paint.yellow(harmless(text))),
  ];
  return lines.map((line) => `${fitted(line, columns)}\n`).join("");
}

/** Stuck ones come first in every order. */
function rank({ summary }: UsageRow): number {
  return summary.stuck === undefined ? 1 : 0;
}

function percentText(value: number | undefined): string {
  return value === undefined ? "-" : `${value.toFixed(1)}%`;
}

function sizeText(value: number | undefined): string {
  return value === undefined ? "-" : size(value);
}
