/**
 * `blazar graph`: a chart as its machine defines it, with a sandbox's active states lit.
 */
import { graphText } from "../../console/graph/graph.ts";
import { outputFormat } from "../../console/structured.ts";
import type { DaemonOptions } from "../daemon-socket.ts";
import { withDaemon, write } from "./session.ts";

export interface GraphOptions extends DaemonOptions {
  readonly output?: string;
  /** Key of a chart of the sandbox. */
  readonly chart?: string;
}

/** Returns the exit code. */
export async function graph(word: string | undefined, options: GraphOptions): Promise<number> {
  const format = outputFormat(options.output, ["mermaid", "svg", "json"], "mermaid");
  await withDaemon(options, async (daemon) => {
    write(await graphText(daemon, { word, chart: options.chart, format }));
  });
  return 0;
}
