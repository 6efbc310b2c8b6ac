/**
 * Makes a sandbox's detail out of JSON from a file: what is not as it should be is left out. Pure.
 *
 * A file may come from a stranger or from another version; whatever is in it must not break the page.
 */

import { chartOfKey } from "../../src/charts/names.ts";
import type {
  ChartKey,
  ChartState,
  HeldResource,
  HistoryEntry,
  RunningDeadline,
  SandboxDetail,
  SandboxSummary,
} from "../../src/contracts/inspection.ts";

type Bag = Readonly<Record<string, unknown>>;

const KINDS = new Set(["call", "transition", "effect", "step", "note"]);
const PHASES = new Set(["creating", "created", "booting", "ready", "stopping", "stopped", "failed"]);
const CHART = /^(sandbox|boot|(container|process)\/.*)$/s;
const MOST_ENTRIES = 5_000;

/** The details in a JSON value: one, or a list of them. */
export function detailsIn(value: unknown): SandboxDetail[] {
  if (Array.isArray(value)) return value.flatMap(detailsIn);
  if (!isBag(value) || !isBag(value["summary"]) || !Array.isArray(value["history"])) return [];
  return [detailOf(value, value["summary"])];
}

function detailOf(bag: Bag, summary: Bag): SandboxDetail {
  return {
    summary: summaryOf(summary),
    charts: list(bag["charts"], chartStateOf),
    deadlines: list(bag["deadlines"], deadlineOf),
    resources: list(bag["resources"], resourceOf),
    history: list(bag["history"], entryOf).slice(-MOST_ENTRIES),
    forgotten: figure(bag["forgotten"]),
    why: text(bag["why"]),
    info: infoOf(bag["info"]),
  };
}

function summaryOf(bag: Bag): SandboxSummary {
  const pod = isBag(bag["pod"]) ? bag["pod"] : {};
  const phase = text(bag["phase"]);
  const path = text(bag["path"]);
  const failure = isBag(bag["failure"]) ? bag["failure"] : undefined;
  return {
    id: text(bag["id"]),
    pod: {
      name: text(pod["name"]),
      namespace: text(pod["namespace"]),
      uid: text(pod["uid"]),
      attempt: figure(pod["attempt"]),
    },
    phase: (PHASES.has(phase) ? phase : "stopped") as SandboxSummary["phase"],
    state: text(bag["state"]),
    since: figure(bag["since"]),
    createdAt: figure(bag["createdAt"]),
    ...optional("endedAt", number(bag["endedAt"])),
    ...optional("startMs", number(bag["startMs"])),
    path: (/^(pool|fork|clone|boot)$/.test(path) ? path : "") as SandboxSummary["path"],
    pid: figure(bag["pid"]),
    vcpus: figure(bag["vcpus"]),
    memoryBytes: figure(bag["memoryBytes"]),
    containers: figure(bag["containers"]),
    ...optional("stuck", string(bag["stuck"])),
    ...(failure === undefined
      ? {}
      : { failure: { code: text(failure["code"]), message: text(failure["message"]) } }),
  };
}

function entryOf(bag: Bag): HistoryEntry[] {
  const [id, at, kind] = [number(bag["id"]), number(bag["at"]), text(bag["kind"])];
  if (id === undefined || at === undefined || !KINDS.has(kind)) return [];
  const entry: HistoryEntry = {
    id,
    at,
    kind: kind as HistoryEntry["kind"],
    name: text(bag["name"]),
    ...optional("cause", number(bag["cause"])),
    ...optional("chart", chartKey(bag["chart"])),
    ...optional("ms", number(bag["ms"])),
    ...optional("from", string(bag["from"])),
    ...optional("to", string(bag["to"])),
    ...optional("error", string(bag["error"])),
  };
  return [entry];
}

function chartStateOf(bag: Bag): ChartState[] {
  const key = chartKey(bag["key"]);
  if (key === undefined) return [];
  const active = Array.isArray(bag["active"]) ? bag["active"].filter((path) => typeof path === "string") : [];
  return [
    { key, chart: chartOfKey(key), active, since: figure(bag["since"]), context: text(bag["context"]) },
  ];
}

function deadlineOf(bag: Bag): RunningDeadline[] {
  const chart = chartKey(bag["chart"]);
  if (chart === undefined) return [];
  const [name, state, wait] = [text(bag["name"]), text(bag["state"]), text(bag["wait"])];
  return [{ name, chart, state, wait, since: figure(bag["since"]), endsAt: figure(bag["endsAt"]) }];
}

function resourceOf(bag: Bag): HeldResource[] {
  return [{ kind: text(bag["kind"]), description: text(bag["description"]), since: figure(bag["since"]) }];
}

function infoOf(value: unknown): Record<string, string> {
  if (!isBag(value)) return {};
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, text(each)]));
}

function list<Item>(value: unknown, read: (bag: Bag) => Item[]): Item[] {
  return Array.isArray(value) ? value.filter(isBag).flatMap(read) : [];
}

function optional<Name extends string, Value>(name: Name, value: Value | undefined): { [K in Name]?: Value } {
  return value === undefined ? {} : ({ [name]: value } as { [K in Name]?: Value });
}

function chartKey(value: unknown): ChartKey | undefined {
  return typeof value === "string" && CHART.test(value) ? (value as ChartKey) : undefined;
}

function text(value: unknown): string {
  return string(value) ?? "";
}

function string(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

function figure(value: unknown): number {
  return number(value) ?? 0;
}

function number(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}

function isBag(value: unknown): value is Bag {
  return typeof value === "object" && value !== null;
}
