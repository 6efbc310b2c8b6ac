/**
 * `blazar top` on a terminal: a page that is drawn anew every other second, and at each key.
 *
 * Uses the alternate screen (xterm's mode 1049) and raw input. Whatever ends it, the terminal is given back as it was.
 */
import { pause } from "../../lib/async.ts";
import { keysOf, LiveTerminal } from "../live-terminal.ts";
import type { Screen } from "../screen.ts";
import { urgentFirst } from "../tables/sandbox-table.ts";
import { fitted } from "../tables/table.ts";
import { type Daemon, type Reading, Readings, read } from "./readings.ts";
import {
  nodeHeader,
  ORDERS,
  type Order,
  sorted,
  type UsageRow,
  usageRows,
  usageTable,
} from "./usage-table.ts";

const REFRESH_MS = 2_000;
/** A rate needs two readings. */
const FIRST_MS = 1_000;

/** The page once, for a program or a file. */
export async function topOnce(daemon: Daemon, screen: Screen, order: Order): Promise<string> {
  const before = await read(daemon);
  await pause(FIRST_MS);
  const after = await read(daemon);
  return page(after, usageRows(after.sandboxes, before.usage, after.usage), screen, order);
}

/** Until `q` or Ctrl-C, through restarts of the daemon. */
export async function topLive(daemon: Daemon, screenNow: () => Screen, order: Order): Promise<void> {
  const readings = await Readings.begin(daemon);
  using terminal = new LiveTerminal(process.stdin, process.stdout);
  let current = order;
  const draw = () => terminal.draw(livePage(readings, screenNow(), current));
  const ended = new AbortController();
  const stopKeys = keysOf(process.stdin, (key) => {
    if (key === "q" || key === "ctrl-c") return ended.abort();
    if (Object.hasOwn(ORDERS, key)) current = ORDERS[key as keyof typeof ORDERS];
    draw();
  });
  const redraw = () => draw();
  process.stdout.on("resize", redraw);
  try {
    draw();
    await pause(FIRST_MS, ended.signal);
    while (!ended.signal.aborted) {
      await readings.next();
      draw();
      await pause(REFRESH_MS, ended.signal);
    }
  } finally {
    process.stdout.off("resize", redraw);
    stopKeys();
  }
}

/** With the keys below it, or why it is not new. */
export function livePage({ last, rows, problem }: Readings, screen: Screen, order: Order): string {
  const below = problem === undefined ? help(order) : screen.paint.red(fitted(problem, screen.columns));
  return `${page(last, rows, screen, order)}\n${below}`;
}

function page({ node, sandboxes }: Reading, rows: readonly UsageRow[], screen: Screen, order: Order): string {
  const urgent = urgentFirst(sandboxes);
  const byId = new Map(rows.map((row) => [row.summary.id, row]));
  const ordered = urgent.flatMap(({ id }) => byId.get(id) ?? []);
  return `${nodeHeader(node, screen)}\n${usageTable(sorted(ordered, order), screen)}`;
}

function help(order: Order): string {
  const keys = Object.entries(ORDERS).map(([key, name]) =>
    name === order ? `[${key}] ${name}` : `${key} ${name}`,
  );
  return `sort by ${keys.join(", ")} · q quit`;
}
