/**
 * The text of `blazar timeline`: which sandbox, and its history as a waterfall.
 */
import type { SandboxDetail } from "../../contracts/inspection.ts";
import { harmless } from "../../lib/harmless.ts";
import { podName, shortId } from "../named.ts";
import { age, span } from "../quantities.ts";
import type { Screen } from "../screen.ts";
import { paintedState } from "./sandbox-table.ts";
import { fitted } from "./table.ts";
import { waterfall } from "./waterfall.ts";

export function timelinePage(
  { summary, history, forgotten }: Pick<SandboxDetail, "summary" | "history" | "forgotten">,
  screen: Screen,
): string {
  const { startMs, path, createdAt, since } = summary;
  const state = `${paintedState(summary, screen.paint)} for ${age(screen.now - since)}`;
  const start = startMs === undefined ? "" : `, started in ${span(startMs)} by ${harmless(path)}`;
  const lost = forgotten === 0 ? "" : `${forgotten} earlier entries had to make room\n`;
  const heading = fitted(`${podName(summary)}  ${shortId(summary.id)}  ${state}${start}`, screen.columns);
  return `${heading}\n${lost}\n${waterfall(history, createdAt, screen)}`;
}
