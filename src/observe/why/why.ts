/**
 * Why a pod is as it is: one short paragraph in plain words.
 *
 * Pure, of what is known of a sandbox and of its host then; runs in a browser, too. The state, since when, what it waits for and
 * whose answer is missing, which deadline ends it and what follows, what came before, what the host is short of, what to do.
 */
import { findState } from "../../charts/states.ts";
import type {
  ChartDefinition,
  HistoryEntry,
  RunningDeadline,
  SandboxDetail,
  SandboxSummary,
} from "../../contracts/inspection.ts";
import { type Focus, focusOf } from "./focus.ts";
import { ownerOfStep, restingIn } from "./waits.ts";
import { cut, duration, sentence, timeOfDay } from "./words.ts";

/** What is known beside the sandbox. */
export interface Circumstances {
  readonly now: number;
  /** What the host is short of, a sentence each. */
  readonly shortages: readonly string[];
  /** What of the daemon's own parts does not do what it should, a sentence each. Default: nothing. */
  readonly troubles?: readonly string[];
  /** What follows a deadline is read off these. */
  readonly charts?: readonly ChartDefinition[];
  /** How long a state is held otherwise; undefined = not known. */
  readonly usual?: (path: string) => { readonly p50: number; readonly p99: number } | undefined;
  /** What the VMM's process does, if that says something: `"is stopped by a signal (state T)"`. */
  readonly vmm?: string | undefined;
}

type Known = Omit<SandboxDetail, "why">;

const MOST_TEXT = 240;
/** A deadline that only has somebody look. */
const LOOKS = new Set(["firstSign"]);

export function why(known: Known, around: Circumstances): string {
  const { summary } = known;
  const focus = focusOf(known);
  const ended = summary.endedAt !== undefined;
  const parts = [
    stateOf(summary, around),
    failureOf(summary),
    vmmOf(summary, around),
    ...(ended ? [] : [waitOf(focus, around), deadlineOf(known.deadlines, focus, around), stuckOf(summary)]),
    ended ? lastTroubleOf(known.history) : beforeOf(known.history, focus),
    ...(ended ? notesOfHost(known.history) : [...(around.troubles ?? []), ...around.shortages]),
    ended ? "" : remedyOf(summary, focus, around),
  ];
  return parts
    .filter((part) => part !== "")
    .map(sentence)
    .join(" ");
}

function stateOf(summary: SandboxSummary, { now, usual }: Circumstances): string {
  const { state, since, endedAt, createdAt, startMs } = summary;
  const pod = podOf(summary);
  if (endedAt !== undefined) {
    const ready = startMs === undefined ? "it was never ready" : `it was ready after ${duration(startMs)}`;
    return `${pod} has ended at ${timeOfDay(endedAt)}, after ${duration(endedAt - createdAt)}; ${ready}`;
  }
  const held = `${pod} has been in ${state} for ${duration(now - since)}`;
  const known = usual?.(state);
  return known === undefined
    ? held
    : `${held}, which usually takes ${duration(known.p50)} (p99 ${duration(known.p99)})`;
}

/** `Pod shop/web`, or its id if it has no name. */
export function podOf({ pod, id }: Pick<SandboxSummary, "pod" | "id">): string {
  if (pod.name !== "") return `Pod ${pod.namespace}/${pod.name}`;
  return id === "" ? "The sandbox" : `Sandbox ${id}`;
}

function failureOf({ failure }: SandboxSummary): string {
  if (failure === undefined) return "";
  const code = failure.code === "" ? "" : ` with ${failure.code}`;
  return `It failed${code}: ${cut(failure.message, MOST_TEXT)}`;
}

function vmmOf({ pid }: SandboxSummary, { vmm }: Circumstances): string {
  return vmm === undefined ? "" : `Its VMM (pid ${pid}) ${vmm}, so its guest does not run`;
}

function waitOf(focus: Focus | undefined, { vmm }: Circumstances): string {
  if (focus === undefined) return "";
  const who = subjectOf(focus);
  if (focus.wait === undefined) {
    // whatever the chart waits for, it comes from a guest that runs
    if (vmm !== undefined) return "";
    const resting = restingIn(focus.chart, focus.path);
    return resting === undefined ? "" : `${who} ${resting}`;
  }
  const { step, wait } = focus;
  const whose = (step && ownerOfStep(step.name)) ?? wait.whose;
  const now = step === undefined ? "" : ` (now ${step.name})`;
  return `${who} waits for ${wait.what}${now}; the answer of ${whose} is missing`;
}

function subjectOf({ key, chart, path }: Focus): string {
  if (chart === "sandbox" || chart === "boot") return "It";
  const [, container = "", exec = ""] = key.split("/");
  const name = chart === "container" ? `Container ${short(container)}` : processName(container, exec);
  return `${name} (${path})`;
}

function processName(container: string, exec: string): string {
  const init = `The process of container ${short(container)}`;
  return exec === "" ? init : `Exec ${short(exec)} of container ${short(container)}`;
}

/** containerd's ids have 64 digits. */
function short(id: string): string {
  return id.length > 32 ? id.slice(0, 13) : id;
}

function deadlineOf(
  deadlines: readonly RunningDeadline[],
  focus: Focus | undefined,
  { now, charts }: Circumstances,
): string {
  const own = deadlines.filter(({ chart }) => chart === focus?.key).sort((a, b) => a.endsAt - b.endsAt);
  const ending = own.find(({ name }) => !LOOKS.has(name));
  const look = own.find(({ name }) => LOOKS.has(name));
  const looked =
    look === undefined ? "" : `it is looked at for a sign of life in ${duration(look.endsAt - now)}`;
  if (ending === undefined) return looked;
  const { name, since, endsAt } = ending;
  const next = nextAfter(ending, focus, charts);
  const then = next === "" ? "" : `, then comes ${next}`;
  const end = `The deadline ${name} (${duration(endsAt - since)}) ends that at ${timeOfDay(endsAt)}, in ${duration(endsAt - now)}${then}`;
  return looked === "" ? end : `${end}; ${looked}`;
}

function nextAfter(
  { name, state }: RunningDeadline,
  focus: Focus | undefined,
  charts: readonly ChartDefinition[] | undefined,
): string {
  const definition = charts?.find((chart) => chart.name === focus?.chart);
  const found = definition && findState(definition.states, state);
  return found?.transitions.find(({ on }) => on === `after ${name}`)?.targets[0] ?? "";
}

function stuckOf({ stuck }: SandboxSummary): string {
  return stuck === undefined ? "" : `It counts as stuck: ${stuck}`;
}

const MOST_BEFORE = 3;

/** The last states of the chart that waits, and what has failed on the way. */
function beforeOf(history: readonly HistoryEntry[], focus: Focus | undefined): string {
  const moves = history.filter(({ kind, chart }) => kind === "transition" && chart === focus?.key);
  const states = moves.slice(0, -1).map(({ to = "", at }, index) => {
    const held = (moves[index + 1]?.at ?? at) - at;
    return `${to} ${duration(held)}`;
  });
  const trouble = lastTroubleOf(history);
  if (states.length === 0) return trouble;
  const before = `Before: ${states.slice(-MOST_BEFORE).join(", ")}`;
  return trouble === "" ? before : `${before}. ${trouble}`;
}

/** The last thing that has failed by itself. */
function lastTroubleOf(history: readonly HistoryEntry[]): string {
  const failed = history.findLast(
    ({ kind, error }) => (kind === "effect" || kind === "step") && error !== undefined && !isCalledOff(error),
  );
  if (failed === undefined) return "";
  const { name, ms = 0, error = "" } = failed;
  return `The last that failed was ${name}, after ${duration(ms)}: ${cut(error, MOST_TEXT)}`;
}

function isCalledOff(error: string): boolean {
  return error.includes("the state that waited for it was left");
}

/** What the host was short of when the sandbox failed is a note of its history. */
export const HOST_NOTE = "the host: ";

function notesOfHost(history: readonly HistoryEntry[]): string[] {
  const note = history.findLast(({ kind, name }) => kind === "note" && name.startsWith(HOST_NOTE));
  return note === undefined ? [] : [`Then ${note.name}`];
}

function remedyOf({ pid }: SandboxSummary, focus: Focus | undefined, { vmm }: Circumstances): string {
  if (vmm?.includes("stopped") === true) return `To let it go on: \`kill -CONT ${pid}\``;
  const remedy = focus?.wait?.remedy;
  return remedy === undefined ? "" : `What you can do: ${remedy}`;
}
