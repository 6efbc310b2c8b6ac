/**
 * `blazar ps`: the sandboxes of the node, once, or each change of them.
 */
import type { SandboxSummary } from "../contracts/inspection.ts";
import { harmless } from "../lib/harmless.ts";
import { type Asked, keepWatching, type Watching, type Write } from "./asked.ts";
import type { Screen } from "./screen.ts";
import { type OutputFormat, structured, structuredLine } from "./structured.ts";
import { sandboxHeading, sandboxRow, urgentFirst } from "./tables/sandbox-table.ts";
import { columnWidths, table, tableLine, wrapped } from "./tables/table.ts";

export interface PsView {
  readonly format: OutputFormat;
  /** Those that have ended, too. */
  readonly all: boolean;
  /** Only pods of this namespace. */
  readonly namespace: string | undefined;
}

const MOST_TROUBLE = 1_024;

/** The text of `ps`. */
export async function ps(
  daemon: Pick<Asked, "list" | "node">,
  view: PsView,
  screen: Screen,
): Promise<string> {
  const [all, { troubles }] = await Promise.all([daemon.list(), daemon.node()]);
  const shown = urgentFirst(all.filter((each) => isShown(each, view)));
  const isForPrograms = view.format === "json" || view.format === "yaml";
  const text = psText(shown, view.format, screen);
  return isForPrograms ? text : `${text}${troubles.map((each) => troubleLine(each, screen)).join("")}`;
}

/** What concerns all of them. */
function troubleLine(trouble: string, { paint, columns }: Screen): string {
  return paint.red(wrapped(harmless(trouble, { most: MOST_TROUBLE }), columns));
}

function psText(shown: readonly SandboxSummary[], format: OutputFormat, screen: Screen): string {
  if (format === "json" || format === "yaml") return structured({ items: shown }, format);
  const wide = format === "wide";
  const rows = shown.map((each) => sandboxRow(each, screen, wide));
  return rows.length === 0 ? "no sandboxes\n" : table([sandboxHeading(wide), ...rows], screen);
}

/** `ps -w`: the table, then a row for each change, until the signal aborts. Programs get one object a line. */
export async function watchPs(
  daemon: Pick<Asked, "list" | "watch">,
  view: PsView,
  screenNow: () => Screen,
  write: Write,
  watching: Pick<Watching, "signal" | "onGone">,
): Promise<void> {
  const { format } = view;
  const wide = format === "wide";
  const first = urgentFirst((await daemon.list()).filter((each) => isShown(each, view)));
  const known = new Map(first.map((each) => [each.id, changeOf(each)]));
  const rows = [sandboxHeading(wide), ...first.map((each) => sandboxRow(each, screenNow(), wide))];
  const widths = columnWidths(rows);
  if (format === "json" || format === "yaml") for (const each of first) write(structuredLine(each, format));
  else write(rows.map((row) => tableLine(row, widths, screenNow())).join(""));
  await keepWatching(
    daemon,
    { entries: false },
    {
      ...watching,
      onEvent: (event) => {
        if (event.type !== "summary") return;
        const { summary } = event;
        const change = changeOf(summary);
        if (known.get(summary.id) === change || (!known.has(summary.id) && !isShown(summary, view))) return;
        known.set(summary.id, change);
        if (format === "json" || format === "yaml") return write(structuredLine(summary, format));
        write(tableLine(sandboxRow(summary, screenNow(), wide), widths, screenNow()));
      },
    },
  );
}

function isShown({ endedAt, pod }: SandboxSummary, { all, namespace }: PsView): boolean {
  return (all || endedAt === undefined) && (namespace === undefined || pod.namespace === namespace);
}

function changeOf({ state, containers, stuck, failure }: SandboxSummary): string {
  return JSON.stringify([state, containers, stuck, failure?.code]);
}
