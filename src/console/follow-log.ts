/**
 * A log as `blazar logs` reads it: its end, and with -f what comes, through restarts of the daemon.
 *
 * The daemon does not say where in a log it is. So what is written while it is away is not read; whoever tells that it is gone
 * has to say so.
 */
import type { LogName } from "../contracts/inspection.ts";
import { pause } from "../lib/async.ts";
import { type Asked, isGone, readSource, type Watching } from "./asked.ts";

export interface LogView {
  readonly id: string;
  readonly log: LogName;
  readonly tailBytes: number;
  readonly follow: boolean;
}

const AGAIN_MS = 1_000;

/** Until the log's end, or the sandbox's if it is followed, or until the signal aborts. */
export async function followLog(
  daemon: Pick<Asked, "logs">,
  view: LogView,
  onBytes: (bytes: Uint8Array) => void,
  { signal, onGone }: Pick<Watching, "signal" | "onGone">,
): Promise<void> {
  let told = false;
  let { tailBytes } = view;
  while (!signal.aborted) {
    try {
      return await readSource(
        daemon.logs(view.id, view.log, { tailBytes, follow: view.follow }),
        signal,
        (bytes) => {
          told = false;
          // what is asked for again begins where the daemon is back
          tailBytes = 0;
          onBytes(bytes);
        },
      );
    } catch (error) {
      if (!view.follow || !isGone(error)) throw error;
      if (!told) onGone(error);
      told = true;
    }
    await pause(AGAIN_MS, signal);
  }
}
