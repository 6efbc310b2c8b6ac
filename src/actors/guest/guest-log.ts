/**
 * What a guest's agent logs: passed on to the daemon's log, and kept for `blazar logs --agent`.
 *
 * The guest is hostile: lines and their length have a bound for its whole life.
 */
import type { Logger } from "../../contracts/logger.ts";
import type { LogEnd } from "../../contracts/vm.ts";
import { cutText } from "../../lib/cut-text.ts";

/** Bytes of a guest's log line that are passed on. */
const MAX_LOG_CHARACTERS = 1024;
/** Log lines a guest may write over its life: it must not fill the host's log. */
const MAX_LOG_LINES = 200;

interface LogLine {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly message: string;
}

export class GuestLog {
  private lines = 0;
  private text = "";

  take({ level, message }: LogLine, logger: Logger): void {
    if (this.lines++ >= MAX_LOG_LINES) return;
    const shown = cutText(message, MAX_LOG_CHARACTERS);
    this.text += `${new Date().toISOString()} ${level} ${shown.replaceAll("\n", " ")}\n`;
    logger[level]({ guest: true }, shown);
  }

  get end(): LogEnd {
    const bytes = new TextEncoder().encode(this.text);
    return { bytes, written: bytes.length };
  }
}
