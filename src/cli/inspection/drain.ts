/**
 * `blazar drain` and `blazar undrain`: all pods off the node, and new ones taken again.
 */
import { drainedLine, drainSummary } from "../../console/drain.ts";
import { countOption } from "../../console/options.ts";
import { BlazarError } from "../../contracts/errors.ts";
import { harmless } from "../../lib/harmless.ts";
import type { DaemonOptions } from "../daemon-socket.ts";
import { withDaemon, write } from "./session.ts";

export interface DrainOptions extends DaemonOptions {
  /** Seconds. */
  readonly timeout?: string;
}

/** The deadlines of one end, all of them missed, sum up to more; none of them is ever near. */
const TIMEOUT_SECONDS = 120;
/** Something has not ended, or is left. */
const NOT_ALL = 1;

/** Returns the exit code: 0 only if every pod has ended and nothing is left of it. */
export async function drain(options: DrainOptions): Promise<number> {
  const seconds = countOption("--timeout", options.timeout, TIMEOUT_SECONDS);
  return await withDaemon(options, async (daemon) => {
    let ended = 0;
    let unclean = 0;
    try {
      await daemon.drain(seconds * 1000, ({ ended: sandbox, left }) => {
        if (sandbox === undefined) return;
        ended++;
        if (sandbox.leftovers !== "") unclean++;
        write(drainedLine(sandbox, left));
      });
    } catch (error) {
      if (!(error instanceof BlazarError) || error.code !== "DeadlineExceeded") throw error;
      process.stderr.write(`blazar: ${harmless(error.message, { most: 16_384 })}\n`);
      return NOT_ALL;
    }
    write(drainSummary(ended, unclean));
    return unclean === 0 ? 0 : NOT_ALL;
  });
}

/** Returns the exit code. */
export async function undrain(options: DaemonOptions): Promise<number> {
  await withDaemon(options, (daemon) => daemon.undrain());
  return 0;
}
