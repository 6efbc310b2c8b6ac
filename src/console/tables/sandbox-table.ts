/**
 * The table of `blazar ps`: what is stuck or has failed first, then what is under way, then what runs, then what has ended.
 */
import type { SandboxSummary } from "../../contracts/inspection.ts";
import { harmless } from "../../lib/harmless.ts";
import { podName, shortId } from "../named.ts";
import { age, size, span } from "../quantities.ts";
import type { Paint, Screen } from "../screen.ts";
import { fitted } from "./table.ts";

const HEADING = ["ID", "POD", "STATE", "FOR", "VM", "START", "CONTAINERS", "AGE"];
const LEAST_NAME = 20;
const WIDE = ["PID", "CPUS", "MEMORY", "UID", "ATTEMPT"];

export function sandboxHeading(wide: boolean): string[] {
  return [...HEADING, ...(wide ? WIDE : []), ""];
}

export function sandboxRow(
  summary: SandboxSummary,
  { now, paint, columns }: Screen,
  wide: boolean,
): string[] {
  const { id, since, path, startMs, containers, createdAt, endedAt } = summary;
  const row = [
    ...[shortId(id), shortName(summary, columns), paintedState(summary, paint)],
    ...[age((endedAt === undefined ? now : Math.max(now, since)) - since), harmless(path) || "-"],
    ...[startMs === undefined ? "-" : span(startMs), `${containers}`, age(now - createdAt)],
  ];
  const { pid, vcpus, memoryBytes, pod } = summary;
  const more = [
    pid === 0 ? "-" : `${pid}`,
    `${vcpus}`,
    size(memoryBytes),
    harmless(pod.uid),
    `${pod.attempt}`,
  ];
  return [...row, ...(wide ? more : []), remark(summary, paint)];
}

/** On a terminal a long name makes room for what follows. */
export function shortName(summary: SandboxSummary, columns: number): string {
  return fitted(podName(summary), Math.max(LEAST_NAME, Math.floor(columns / 4)));
}

/** Stuck first, and of each kind the oldest state first. */
export function urgentFirst(all: readonly SandboxSummary[]): SandboxSummary[] {
  return [...all].sort((a, b) => rank(a) - rank(b) || a.since - b.since);
}

function rank({ stuck, endedAt, failure, phase }: SandboxSummary): number {
  if (stuck !== undefined) return 0;
  if (endedAt !== undefined) return failure === undefined ? 5 : 4;
  if (failure !== undefined) return 1;
  return phase === "ready" ? 3 : 2;
}

/** A state in the colour of how it is. */
export function paintedState(
  summary: Pick<SandboxSummary, "state" | "stuck" | "failure" | "phase">,
  paint: Paint,
): string {
  const text = harmless(summary.state, { most: 64 });
  if (summary.stuck !== undefined) return paint.red(paint.bold(text));
  if (summary.phase === "failed" || summary.failure !== undefined) return paint.red(text);
  if (summary.phase === "ready") return paint.green(text);
  return summary.phase === "stopped" ? paint.dim(text) : paint.yellow(text);
}

function remark({ stuck, failure }: SandboxSummary, paint: Paint): string {
  if (stuck !== undefined) return paint.red(`stuck: ${harmless(stuck)}`);
  return failure === undefined ? "" : `${harmless(failure.code)}: ${harmless(failure.message)}`;
}
