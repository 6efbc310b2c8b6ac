/**
 * `blazar inspect`: all about one sandbox.
 */
import { find } from "../../console/asked.ts";
import { outputFormat, structured } from "../../console/structured.ts";
import { sandboxPage } from "../../console/tables/sandbox-page.ts";
import type { DaemonOptions } from "../daemon-socket.ts";
import { screenNow, withDaemon, write } from "./session.ts";

export interface InspectOptions extends DaemonOptions {
  readonly output?: string;
}

/** Returns the exit code. */
export async function inspect(word: string, options: InspectOptions): Promise<number> {
  const format = outputFormat(options.output, ["table", "json", "yaml"], "table");
  await withDaemon(options, async (daemon) => {
    const detail = await daemon.get((await find(daemon, word)).id);
    write(format === "table" ? sandboxPage(detail, screenNow()) : structured(detail, format));
  });
  return 0;
}
