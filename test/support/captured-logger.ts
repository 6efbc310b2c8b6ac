/** A logger whose lines tests can read. */
import type { LogFields, Logger } from "../../src/contracts/logger.ts";

export interface CapturedLine {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly fields: LogFields;
  readonly message: string;
}

export class CapturedLogger implements Logger {
  readonly lines: CapturedLine[];
  private readonly fields: LogFields;

  constructor(lines: CapturedLine[] = [], fields: LogFields = {}) {
    this.lines = lines;
    this.fields = fields;
  }

  debug(fields: LogFields, message: string): void {
    this.add("debug", fields, message);
  }

  info(fields: LogFields, message: string): void {
    this.add("info", fields, message);
  }

  warn(fields: LogFields, message: string): void {
    this.add("warn", fields, message);
  }

  error(fields: LogFields, message: string): void {
    this.add("error", fields, message);
  }

  child(fields: LogFields): Logger {
    return new CapturedLogger(this.lines, { ...this.fields, ...fields });
  }

  private add(level: CapturedLine["level"], fields: LogFields, message: string): void {
    this.lines.push({ level, fields: { ...this.fields, ...fields }, message });
  }
}
