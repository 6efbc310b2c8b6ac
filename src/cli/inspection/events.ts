/**
 * `blazar events`: what has happened to the sandboxes, and with -f what happens.
 */
import { find } from "../../console/asked.ts";
import { type EventsView, followEvents, pastEvents } from "../../console/events/events.ts";
import { countOption } from "../../console/options.ts";
import { outputFormat } from "../../console/structured.ts";
import type { DaemonOptions } from "../daemon-socket.ts";
import { screenNow, untilInterrupted, withDaemon, write } from "./session.ts";

export interface EventsOptions extends DaemonOptions {
  readonly output?: string;
  readonly follow?: boolean;
  readonly last?: string;
}

/** Events of the past that are shown unless told otherwise: without -f, and before those that follow. */
const LAST = 100;
const LAST_BEFORE_FOLLOWING = 10;

/** Returns the exit code. */
export async function events(word: string | undefined, options: EventsOptions): Promise<number> {
  const format = outputFormat(options.output, ["table", "json", "yaml"], "table");
  const follow = options.follow === true;
  const last = countOption("--last", options.last, follow ? LAST_BEFORE_FOLLOWING : LAST);
  await withDaemon(options, async (daemon) => {
    const sandbox = word === undefined ? undefined : await find(daemon, word);
    const view: EventsView = { format, sandbox, last };
    await pastEvents(daemon, view, screenNow(), write);
    if (follow) await followEvents(daemon, view, screenNow, write, untilInterrupted());
  });
  return 0;
}
