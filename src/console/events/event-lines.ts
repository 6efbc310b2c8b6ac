/**
 * The lines of `blazar events`: one for each thing that happened, with the time, the pod, and what it was caused by.
 */
import { takesTime } from "../../charts/entries.ts";
import type { HistoryEntry, SandboxSummary } from "../../contracts/inspection.ts";
import { podName, shortId } from "../named.ts";
import { clockTime, span } from "../quantities.ts";
import type { Screen } from "../screen.ts";
import { fitted, padded } from "../tables/table.ts";
import { entryText } from "../tables/waterfall.ts";

const POD_CELLS = 32;
const TOOK_CELLS = 9;

/** Undefined for the beginning of something that takes time: its end is told. */
export function eventLine(
  summary: Pick<SandboxSummary, "id" | "pod">,
  entry: HistoryEntry,
  { paint, columns }: Screen,
): string | undefined {
  if (takesTime(entry) && entry.ms === undefined) return undefined;
  const ended = entry.at + (entry.ms ?? 0);
  const took = padded(entry.ms === undefined ? "" : span(entry.ms), TOOK_CELLS);
  const pod = padded(fitted(podName(summary), POD_CELLS), POD_CELLS);
  const text = `${clockTime(ended)}  ${shortId(summary.id)}  ${pod}  ${padded(entry.kind, 10)}  ${took}  ${entryText(entry)}`;
  const line = fitted(text, columns);
  if (entry.error !== undefined) return `${paint.red(line)}\n`;
  return `${entry.kind === "call" ? paint.bold(line) : line}\n`;
}
