/**
 * The log of a command that was asked to be verbose: everything, as JSON lines on standard error.
 *
 * Written at once: the command may end at any moment.
 */
import { pino } from "pino";
import type { Logger } from "../../contracts/logger.ts";
import { harmlessJson } from "../../lib/harmless.ts";

export function verboseLog(): Logger {
  return pino(
    { level: "debug", base: {}, hooks: { streamWrite: harmlessJson } },
    pino.destination({ dest: 2, sync: true }),
  );
}
