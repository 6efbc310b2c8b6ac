/**
 * A sandbox's record as the inspection port shows it: its row, its charts, the deadlines that run.
 *
 * Reads records; must not change them.
 */

import { activePaths, sandboxPath } from "../../charts/names.ts";
import { allStates } from "../../charts/states.ts";
import { DEADLINES, type DeadlineName } from "../../contracts/deadlines.ts";
import type {
  ChartName,
  ChartState,
  RunningDeadline,
  SandboxDetail,
  SandboxSummary,
} from "../../contracts/inspection.ts";
import type { SandboxPhase } from "../../contracts/sandbox.ts";
import { errorOf, type Failure } from "../../machines/failure.ts";
import { PHASE_OF_STATE } from "../../machines/sandbox.machine.ts";
import { chartDefinitions } from "../charts/definitions.ts";
import { boundedText } from "../history/bounded-text.ts";
import type { ChartView } from "../history/chart-recorder.ts";
import type { SandboxRecord } from "../history/sandbox-record.ts";

const PATHS: Readonly<Record<string, SandboxSummary["path"]>> = {
  warm: "pool",
  fork: "fork",
  clone: "clone",
  boot: "boot",
};

export function summaryOf(record: SandboxRecord, stuck: string | undefined): SandboxSummary {
  const { id, pod, createdAt, endedAt, startMs, charts, facts } = record;
  const sandbox = charts.find(({ key }) => key === "sandbox");
  const boot = charts.find(({ key }) => key === "boot");
  const failure = (sandbox?.context["failure"] ?? undefined) as Failure | undefined;
  const { state, since } = innermost(sandbox, boot, createdAt);
  return {
    ...{ id, pod, createdAt, state, since, phase: phaseOf(sandbox?.path ?? "", failure) },
    ...(endedAt === undefined ? {} : { endedAt }),
    ...(startMs === undefined ? {} : { startMs }),
    path: sourceOf(boot, record.earlierOrigin),
    pid: endedAt === undefined ? pidOf(sandbox, boot) : 0,
    vcpus: facts.vcpus,
    memoryBytes: facts.memoryBytes,
    containers: charts.filter(({ chart }) => chart === "container").length,
    ...(stuck === undefined ? {} : { stuck }),
    ...(failure === undefined
      ? {}
      : { failure: { code: failure.code, message: boundedText(errorOf(failure, id).message) } }),
  };
}

/** All but the paragraph. */
export function detailOf(record: SandboxRecord, stuck: string | undefined): Omit<SandboxDetail, "why"> {
  const { charts, entries, facts } = record;
  const info = Object.entries(facts.info).map(([key, value]) => [key, boundedText(value)]);
  return {
    summary: summaryOf(record, stuck),
    charts: charts.map(chartState),
    deadlines: record.endedAt === undefined ? charts.flatMap(deadlinesOf) : [],
    resources: facts.resources.map((each) => ({ ...each, description: boundedText(each.description) })),
    history: entries.all,
    forgotten: entries.forgotten,
    info: Object.fromEntries(info),
  };
}

export function phaseOf(path: string, failure: Failure | undefined): SandboxPhase {
  const state = path.split(".")[0] as keyof typeof PHASE_OF_STATE;
  const phase = path === "" ? "creating" : PHASE_OF_STATE[state];
  return phase === "stopped" && failure !== undefined ? "failed" : phase;
}

/** Deadlines of states that are active, soonest end first. */
export function deadlinesOf(view: ChartView): RunningDeadline[] {
  const { key, chart, path, deadlines, ended } = view;
  if (ended) return [];
  const running = activePaths(path).flatMap((state) =>
    deadlineNames(chart, state).map((name) => {
      const since = view.entered(state) ?? 0;
      const endsAt = since + (deadlines[name] ?? DEADLINES[name].ms);
      return { name, chart: key, state, wait: DEADLINES[name].wait, since, endsAt };
    }),
  );
  return running.sort((one, other) => one.endsAt - other.endsAt);
}

/** Whether a chart's state waits for something: it has an effect or a deadline. */
export function isWaiting(chart: ChartName, path: string): boolean {
  return waits().get(`${chart} ${path}`)?.waits === true;
}

function deadlineNames(chart: ChartName, path: string): readonly DeadlineName[] {
  return waits().get(`${chart} ${path}`)?.deadlines ?? [];
}

interface StateWaits {
  readonly waits: boolean;
  readonly deadlines: readonly DeadlineName[];
}

let known: ReadonlyMap<string, StateWaits> | undefined;

/** By chart and path. */
function waits(): ReadonlyMap<string, StateWaits> {
  known ??= new Map(
    chartDefinitions().flatMap(({ name, states }) =>
      allStates(states).map(({ path, effects, deadlines }): [string, StateWaits] => [
        `${name} ${path}`,
        { waits: effects.length + deadlines.length > 0, deadlines: deadlines.filter(isDeadline) },
      ]),
    ),
  );
  return known;
}

function isDeadline(name: string): name is DeadlineName {
  return Object.hasOwn(DEADLINES, name);
}

function chartState(view: ChartView): ChartState {
  const { key, chart, path, context } = view;
  const since = view.entered(path) ?? 0;
  return { key, chart, active: activePaths(path), since, context: JSON.stringify(context) };
}

function innermost(sandbox: ChartView | undefined, boot: ChartView | undefined, createdAt: number) {
  const path = sandbox?.path ?? "creating";
  const since = sandbox?.entered(path) ?? createdAt;
  if (path !== "booting" || boot === undefined) return { state: path, since };
  return { state: sandboxPath(path, boot.path), since: boot.entered(boot.path) ?? since };
}

/** @param earlier what an earlier daemon knew; the chart of the boot is not gone on with */
function sourceOf(boot: ChartView | undefined, earlier: string | undefined): SandboxSummary["path"] {
  if (boot === undefined) return PATHS[earlier ?? ""] ?? "";
  if (!((boot.context["pid"] as number) > 0)) return "";
  return PATHS[String(boot.context["origin"])] ?? "";
}

/** The VMM's process; 0 = none. */
export function vmmOf({ charts, endedAt }: SandboxRecord): number {
  if (endedAt !== undefined) return 0;
  return pidOf(
    charts.find(({ key }) => key === "sandbox"),
    charts.find(({ key }) => key === "boot"),
  );
}

function pidOf(sandbox: ChartView | undefined, boot: ChartView | undefined): number {
  const own = Number(sandbox?.context["pid"] ?? 0);
  return own === 0 && sandbox?.path === "booting" ? Number(boot?.context["pid"] ?? 0) : own;
}
