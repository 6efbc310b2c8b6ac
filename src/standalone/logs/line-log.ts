/**
 * A log for the person at the terminal: each warning and error as a line of plain text, as soon as it comes.
 */
import { reasonOf } from "../../contracts/errors.ts";
import type { LogFields, Logger } from "../../contracts/logger.ts";

/** Writes to standard error, or where `write` says. */
export class LineLog implements Logger {
  constructor(
    private readonly write: (line: string) => void = (line) => {
      process.stderr.write(line);
    },
  ) {}

  debug(): void {
    // not for people
  }

  info(): void {
    // not for people
  }

  warn(fields: LogFields, message: string): void {
    this.line(fields, message);
  }

  error(fields: LogFields, message: string): void {
    this.line(fields, message);
  }

  child(): Logger {
    return this;
  }

  private line({ err }: LogFields, message: string): void {
    const why = err === undefined ? "" : `: ${reasonOf(err)}`;
    this.write(`blazar: ${message}${why}\n`);
  }
}
