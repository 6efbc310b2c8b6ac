/**
 * The log of a command that was asked to be verbose: everything, as JSON lines on standard error.
 *
 * Written at once: the command may end at any moment.
 */
import { pino } from "pino";
import type { Logger } from "../../contracts/logger.ts";

export function verboseLog(): Logger {
  return pino({ level: "debug", base: {} }, pino.destination({ dest: 2, sync: true }));
}
