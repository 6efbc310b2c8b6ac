/**
 * `blazar why`: why a sandbox is as it is, in one paragraph.
 */
import { find } from "../../console/asked.ts";
import { wrapped } from "../../console/tables/table.ts";
import { harmless } from "../../lib/harmless.ts";
import type { DaemonOptions } from "../daemon-socket.ts";
import { screenNow, withDaemon, write } from "./session.ts";

/** Long enough for every paragraph that the daemon writes. */
const MOST = 16_384;
const COLUMNS = 100;

/** Returns the exit code. */
export async function why(word: string, options: DaemonOptions): Promise<number> {
  await withDaemon(options, async (daemon) => {
    const detail = await daemon.get((await find(daemon, word)).id);
    write(wrapped(harmless(detail.why, { most: MOST }), Math.min(COLUMNS, screenNow().columns)));
  });
  return 0;
}
