/**
 * `blazar timeline`: the history of one sandbox as a waterfall.
 */
import { find } from "../../console/asked.ts";
import { outputFormat, structured } from "../../console/structured.ts";
import { timelinePage } from "../../console/tables/timeline-page.ts";
import type { DaemonOptions } from "../daemon-socket.ts";
import { screenNow, withDaemon, write } from "./session.ts";

export interface TimelineOptions extends DaemonOptions {
  readonly output?: string;
}

/** Returns the exit code. */
export async function timeline(word: string, options: TimelineOptions): Promise<number> {
  const format = outputFormat(options.output, ["table", "json", "yaml"], "table");
  await withDaemon(options, async (daemon) => {
    const detail = await daemon.get((await find(daemon, word)).id);
    const { summary, history, forgotten } = detail;
    if (format === "table") write(timelinePage(detail, screenNow()));
    else write(structured({ id: summary.id, pod: summary.pod, forgotten, history }, format));
  });
  return 0;
}
