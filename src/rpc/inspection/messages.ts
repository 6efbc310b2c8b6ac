/**
 * Sandboxes between the inspection contract and its protobuf messages, both ways.
 *
 * What is absent in the contract is absent or empty on the wire, as blazar/inspection/v1/inspection.proto says.
 * charts.ts has the definitions of charts, node.ts the daemon's figures.
 */
import type {
  ChartState,
  HistoryEntry,
  InspectionEvent,
  RunningDeadline,
  SandboxDetail,
  SandboxSummary,
  SandboxUsage,
} from "../../contracts/inspection.ts";
import type * as wire from "../generated/blazar/inspection/v1/inspection.ts";
import { present, toChartKey, toChartName, toEntryKind, toPhase, toVmPath } from "./checks.ts";

export function summaryToWire(summary: SandboxSummary): wire.SandboxSummary {
  return { ...summary, pod: { ...summary.pod }, stuck: summary.stuck ?? "", failure: summary.failure };
}

export function summaryFromWire(message: wire.SandboxSummary): SandboxSummary {
  const { pod, phase, path, endedAt, startMs, stuck, failure, ...same } = message;
  return {
    ...same,
    pod: present(pod, "pod"),
    phase: toPhase(phase),
    path: toVmPath(path),
    ...(endedAt === undefined ? {} : { endedAt }),
    ...(startMs === undefined ? {} : { startMs }),
    ...(stuck === "" ? {} : { stuck }),
    ...(failure === undefined ? {} : { failure }),
  };
}

export function entryToWire(entry: HistoryEntry): wire.HistoryEntry {
  return { ...entry, chart: entry.chart ?? "", error: entry.error ?? "" };
}

export function entryFromWire(message: wire.HistoryEntry): HistoryEntry {
  const { id, kind, cause, chart, at, ms, name, from, to, error } = message;
  return {
    id,
    kind: toEntryKind(kind),
    ...(cause === undefined ? {} : { cause }),
    ...(chart === "" ? {} : { chart: toChartKey(chart) }),
    at,
    ...(ms === undefined ? {} : { ms }),
    name,
    ...(from === undefined ? {} : { from }),
    ...(to === undefined ? {} : { to }),
    ...(error === "" ? {} : { error }),
  };
}

export function detailToWire(detail: SandboxDetail): wire.SandboxDetail {
  const { summary, charts, deadlines, resources, history, info } = detail;
  return {
    ...detail,
    summary: summaryToWire(summary),
    charts: charts.map((chart) => ({ ...chart, active: [...chart.active] })),
    deadlines: [...deadlines],
    resources: [...resources],
    history: history.map(entryToWire),
    info: { ...info },
  };
}

export function detailFromWire(message: wire.SandboxDetail): SandboxDetail {
  const { summary, charts, deadlines, history, ...same } = message;
  return {
    ...same,
    summary: summaryFromWire(present(summary, "summary")),
    charts: charts.map(chartFromWire),
    deadlines: deadlines.map(deadlineFromWire),
    history: history.map(entryFromWire),
  };
}

export function eventToWire(event: InspectionEvent): wire.WatchResponse {
  switch (event.type) {
    case "reset":
      return { reset: {} };
    case "summary":
      return { summary: summaryToWire(event.summary) };
    case "entry":
      return { entry: { sandboxId: event.sandboxId, entry: entryToWire(event.entry) } };
    case "forgotten":
      return { forgotten: event.sandboxId };
  }
}

/** Undefined: it is a kind of event that this version does not know. */
export function eventFromWire(message: wire.WatchResponse): InspectionEvent | undefined {
  const { reset, summary, entry, forgotten } = message;
  if (reset !== undefined) return { type: "reset" };
  if (summary !== undefined) return { type: "summary", summary: summaryFromWire(summary) };
  if (forgotten !== undefined) return { type: "forgotten", sandboxId: forgotten };
  if (entry === undefined) return undefined;
  return {
    type: "entry",
    sandboxId: entry.sandboxId,
    entry: entryFromWire(present(entry.entry, "entry")),
  };
}

export function usageToWire({ sandboxId, at, containers, vmm }: SandboxUsage): wire.SandboxUsage {
  return { sandboxId, at, containers, vmm };
}

export function usageFromWire({ sandboxId, at, containers, vmm }: wire.SandboxUsage): SandboxUsage {
  return {
    sandboxId,
    at,
    ...(containers === undefined ? {} : { containers }),
    ...(vmm === undefined ? {} : { vmm }),
  };
}

function chartFromWire({ key, chart, ...same }: wire.ChartState): ChartState {
  return { ...same, key: toChartKey(key), chart: toChartName(chart) };
}

function deadlineFromWire({ chart, ...same }: wire.RunningDeadline): RunningDeadline {
  return { ...same, chart: toChartKey(chart) };
}
