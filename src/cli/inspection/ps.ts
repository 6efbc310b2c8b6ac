/**
 * `blazar ps`: the sandboxes of the node.
 */
import { ps as list, watchPs } from "../../console/ps.ts";
import { outputFormat } from "../../console/structured.ts";
import type { DaemonOptions } from "../daemon-socket.ts";
import { screenNow, untilInterrupted, withDaemon, write } from "./session.ts";

export interface PsOptions extends DaemonOptions {
  readonly output?: string;
  readonly watch?: boolean;
  readonly all?: boolean;
  readonly namespace?: string;
}

/** Returns the exit code. */
export async function ps(options: PsOptions): Promise<number> {
  const format = outputFormat(options.output, ["table", "wide", "json", "yaml"], "table");
  const view = { format, all: options.all === true, namespace: options.namespace };
  await withDaemon(options, async (daemon) => {
    if (options.watch === true) return await watchPs(daemon, view, screenNow, write, untilInterrupted());
    write(await list(daemon, view, screenNow()));
  });
  return 0;
}
