/**
 * What `blazar replay` shows: a page at one instant, and the whole in lines for a file or a pipe.
 */
import { harmless } from "../../lib/harmless.ts";
import { podName, shortId } from "../named.ts";
import { span, moment as timeOf } from "../quantities.ts";
import type { Screen } from "../screen.ts";
import { fitted, padded, table } from "../tables/table.ts";
import { entryText } from "../tables/waterfall.ts";
import type { Recording } from "./file.ts";
import { type Instant, instantsOf, momentAfter, momentsAfter } from "./instants.ts";

/** Instants that are shown around the present one. */
const BEFORE = 8;
const AFTER = 4;
const SIGNS: Readonly<Record<Instant["what"], string>> = { began: "┌", ended: "└", happened: "•" };

/** The page when the instants up to number `index` have come. */
export function replayPage(
  { summary, forgotten }: Recording,
  instants: readonly Instant[],
  index: number,
  screen: Screen,
): string {
  const { paint, columns } = screen;
  const at = instants[index]?.at ?? summary.createdAt;
  const { state, charts, goingOn } = momentAfter(instants, index);
  const lost = forgotten === 0 ? "" : `, ${forgotten} earlier entries had to make room`;
  const lines = [
    `${podName(summary)}  ${shortId(summary.id)}  ${index + 1} of ${instants.length}${lost}`,
    `${timeOf(at)}  +${span(at - summary.createdAt)}  ${paint.bold(harmless(state) || "-")}`,
    slider(index, instants.length, columns),
  ];
  const chartRows = [...charts].map(([key, path]) => [harmless(key), paint.cyan(harmless(path))]);
  const goingRows = goingOn.map((entry) => [`for ${span(at - entry.at)}`, entryText(entry)]);
  const near = instants.slice(Math.max(0, index - BEFORE), index + AFTER + 1);
  const nearRows = near.map((instant) => {
    const line = [`+${span(instant.at - summary.createdAt)}`, SIGNS[instant.what], textOf(instant)];
    return instant === instants[index] ? ["▶", ...line.map(paint.bold)] : [" ", ...line];
  });
  return [
    lines.map((line) => `${fitted(line, columns)}\n`).join(""),
    section("Charts", chartRows, screen),
    section("Under way", goingRows, screen),
    section("Around", nearRows, screen),
  ].join("");
}

/** Each instant in a line, with the state that it left the sandbox in. */
export function replayLines(recording: Recording, screen: Screen): string {
  const instants = instantsOf(recording);
  const { createdAt } = recording.summary;
  const states = Array.from(momentsAfter(instants), ({ state }) => harmless(state) || "-");
  const rows = instants.map((instant, index) => [
    `+${span(instant.at - createdAt)}`,
    states[index] ?? "",
    `${SIGNS[instant.what]} ${textOf(instant)}`,
  ]);
  const { summary } = recording;
  return `${podName(summary)}  ${shortId(summary.id)}\n\n${table([["AT", "STATE", "WHAT"], ...rows], screen)}`;
}

/** The same for programs. */
export function* replaySteps(recording: Recording): Generator<object> {
  const instants = instantsOf(recording);
  let index = 0;
  for (const { state, charts, goingOn } of momentsAfter(instants)) {
    const { at, what, entry } = instants[index++] as Instant;
    const chartStates = Object.fromEntries(charts);
    yield { at, what, state, charts: chartStates, goingOn: goingOn.map(({ id }) => id), entry };
  }
}

function section(title: string, rows: readonly (readonly string[])[], screen: Screen): string {
  return rows.length === 0 ? "" : `\n${screen.paint.bold(title)}\n${table(rows, screen)}`;
}

function slider(index: number, count: number, columns: number): string {
  const width = Math.max(10, Math.min(60, columns) - 2);
  const position = count <= 1 ? width : Math.round((index / (count - 1)) * width);
  return `${padded("━".repeat(position), width).replaceAll(" ", "─")}`.replace(/^/, "╺");
}

function textOf({ entry, what }: Instant): string {
  const took = what === "ended" && entry.ms !== undefined ? ` (${span(entry.ms)})` : "";
  return `${entryText(entry)}${took}`;
}
