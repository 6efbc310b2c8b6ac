/**
 * A journal as the inspection port shows a sandbox, so that what reads one reads the other.
 *
 * Pure; runs in a browser. A journal has what had ended when its daemon ended, and no more: what went on then is read off the
 * charts' definitions, if they are given.
 */
import { inOrder } from "../../charts/entries.ts";
import type {
  ChartDefinition,
  ChartState,
  HistoryEntry,
  SandboxDetail,
  SandboxSummary,
} from "../../contracts/inspection.ts";
import type { SandboxPhase } from "../../contracts/sandbox.ts";
import type { PHASE_OF_STATE } from "../../machines/sandbox.machine.ts";
import { why } from "../why/why.ts";
import { type JournalText, readJournalText } from "./journal-text.ts";
import { effectsUnderWay, historyAt, statesAt } from "./moments.ts";

export interface Replayed {
  readonly detail: SandboxDetail;
  /** Lines that could not be read. */
  readonly unreadable: number;
}

export interface ReplayOptions {
  /** As the daemon's; without them it is not said what the last states waited for. */
  readonly charts?: readonly ChartDefinition[];
}

/** As in the charts' module, which a browser need not load; the type says that none is missing. */
export const PHASES: typeof PHASE_OF_STATE = {
  deciding: "creating",
  adopting: "ready",
  creating: "creating",
  created: "created",
  booting: "booting",
  failing: "stopping",
  ready: "ready",
  stopping: "stopping",
  stopped: "stopped",
  removed: "stopped",
};

/** Never throws, whatever the text is. */
export function replayJournal(text: string, { charts = [] }: ReplayOptions = {}): Replayed {
  const journal = readJournalText(text);
  const { lastAt, unreadable } = journal;
  const ended = inEndOrder(journal.entries);
  const states = statesAt(ended, lastAt);
  const history = [...ended, ...effectsUnderWay(ended, states, charts)];
  const most = ended.reduce((highest, { id }) => Math.max(highest, id), 0);
  const known = {
    summary: summaryOf(journal, states, ended, lastAt),
    charts: states,
    deadlines: [],
    resources: journal.resources,
    history,
    forgotten: Math.max(0, most - ended.length),
    info: { journal: `${ended.length} entries, ${unreadable} lines that could not be read` },
  };
  return { detail: { ...known, why: why(known, { now: lastAt, shortages: [], charts }) }, unreadable };
}

/** The same sandbox as it was at a moment. What it held then is not known. */
export function detailAt(
  detail: SandboxDetail,
  at: number,
  { charts = [] }: ReplayOptions = {},
): SandboxDetail {
  const history = historyAt(detail.history, at);
  const states = statesAt(history, at);
  const { endedAt, startMs, failure, stuck: _, ...rest } = detail.summary;
  const place = placeOf(states, rest.createdAt);
  const isGoing = place.phase === "stopping" || place.phase === "stopped";
  const path = states[0]?.active.at(-1) ?? "creating";
  const known = {
    ...detail,
    summary: {
      ...rest,
      ...place,
      ...(failure !== undefined && isGoing ? { failure } : {}),
      ...(startMs !== undefined && path.startsWith("ready") ? { startMs } : {}),
      ...(endedAt !== undefined && endedAt <= at ? { endedAt } : {}),
      containers: countOf(states),
    },
    charts: states,
    deadlines: [],
    resources: [],
    history,
  };
  return { ...known, why: why(known, { now: at, shortages: [], charts }) };
}

function summaryOf(
  { sandboxId, pod, openedAt, vcpus, memoryBytes, pid }: JournalText,
  states: readonly ChartState[],
  history: readonly HistoryEntry[],
  lastAt: number,
): SandboxSummary {
  const createdAt = inOrder(history)[0]?.at ?? openedAt;
  const place = placeOf(states, createdAt);
  const failed = history.findLast(({ kind, error }) => kind === "call" && error !== undefined);
  const over = place.state === "stopped" || place.state === "removed";
  return {
    ...{ id: sandboxId, pod, createdAt, path: "" as const, pid, vcpus, memoryBytes },
    ...place,
    phase: over && failed !== undefined ? "failed" : place.phase,
    containers: countOf(states),
    ...(place.state === "removed" ? { endedAt: lastAt } : {}),
    ...(failed?.error === undefined ? {} : { failure: { code: "", message: failed.error } }),
  };
}

/** The innermost state, also of the boot's chart. */
function placeOf(
  states: readonly ChartState[],
  createdAt: number,
): Pick<SandboxSummary, "phase" | "state" | "since"> {
  const sandbox = states.find(({ key }) => key === "sandbox");
  const boot = states.find(({ key }) => key === "boot");
  const path = sandbox?.active.at(-1) ?? "creating";
  const phase = phaseOf(path);
  if (path !== "booting" || boot === undefined)
    return { phase, state: path, since: sandbox?.since ?? createdAt };
  return { phase, state: `booting.${boot.active.at(-1) ?? ""}`, since: boot.since };
}

function phaseOf(path: string): SandboxPhase {
  const [state = ""] = path.split(".");
  return Object.hasOwn(PHASES, state) ? PHASES[state as keyof typeof PHASES] : "creating";
}

function countOf(states: readonly ChartState[]): number {
  return states.filter(({ chart, active }) => chart === "container" && active.at(-1) !== "deleted").length;
}

/** As a daemon tells it: in the order in which things ended. */
function inEndOrder(entries: readonly HistoryEntry[]): HistoryEntry[] {
  return [...entries].sort(
    (one, other) => one.at + (one.ms ?? 0) - (other.at + (other.ms ?? 0)) || one.id - other.id,
  );
}
