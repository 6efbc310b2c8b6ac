/**
 * The end of an error that kubelet shows: in one line, what the sandbox waited for when it failed, and what the host lacked.
 */
import type { ChartName, HistoryEntry } from "../../contracts/inspection.ts";
import { waitOfEffect } from "./waits.ts";
import { cut, duration } from "./words.ts";

/** kubelet's events have 1024 bytes, and the error itself comes first. */
const MOST_LINE = 320;

const WORTH_SAYING_MS = 100;

/** "" if no effect has failed, or that says nothing. */
export function whyLine(
  history: readonly HistoryEntry[],
  shortages: readonly string[],
  chartOf: (key: NonNullable<HistoryEntry["chart"]>) => ChartName,
): string {
  const effect = history.findLast(({ kind, error }) => kind === "effect" && error !== undefined);
  if (effect?.chart === undefined) return "";
  const wait = waitOfEffect(chartOf(effect.chart), effect.name);
  if (wait === undefined) return "";
  const { ms = 0 } = effect;
  // what has failed at once has not waited
  if (ms < WORTH_SAYING_MS && shortages.length === 0) return "";
  const step = history.findLast(
    ({ kind, cause, error }) => kind === "step" && cause === effect.id && error !== undefined,
  );
  const at = step === undefined ? "" : ` (at ${step.name})`;
  const short = shortages.length === 0 ? "" : `; ${shortages.join("; ")}`;
  return cut(`it waited ${duration(ms)} for ${wait.what}${at}${short}`, MOST_LINE);
}
