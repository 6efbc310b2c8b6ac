/**
 * Logging for the programs on QuickJS: one JSON object a line, on stderr, with pino's field names.
 *
 * It never throws and never waits. A line that stderr does not take at once is cut or lost; the next line that is written
 * says how many were lost. Times are the wall clock's, which a guest's agent sets late.
 */
import * as sys from "sys";
import { encode } from "./text-codec.ts";

const STDERR = 2;
const LEVELS = { debug: 20, info: 30, warn: 40, error: 50 } as const;

/** Severity of a line. */
export type Level = keyof typeof LEVELS;
/** The fields of a line beside its message. An Error is written with its code, stack and cause. */
export type Fields = Readonly<Record<string, unknown>>;

/** Where the lines go. */
export type Sink = (line: string) => void;

export interface Logger {
  debug(message: string, fields?: Fields): void;
  info(message: string, fields?: Fields): void;
  warn(message: string, fields?: Fields): void;
  error(message: string, fields?: Fields): void;
  /** A logger that adds `fields` to every line. */
  child(fields: Fields): Logger;
}

/** A logger with a program's name. Lines below `level` are dropped. */
export function createLogger(name: string, level: Level = "info", sink: Sink = writeStderr): Logger {
  return bind(name, LEVELS[level], sink, {});
}

function bind(name: string, threshold: number, sink: Sink, bound: Fields): Logger {
  const at =
    (level: Level) =>
    (message: string, fields: Fields = {}) => {
      if (LEVELS[level] < threshold) return;
      sink(format({ level, time: Date.now(), name, ...bound, ...fields, msg: message }));
    };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: (fields) => bind(name, threshold, sink, { ...bound, ...fields }),
  };
}

function format(line: Fields): string {
  try {
    return `${JSON.stringify(line, plain)}\n`;
  } catch (error) {
    return `${JSON.stringify({ level: "error", msg: "a log line could not be written", reason: String(error) })}\n`;
  }
}

/** JSON for errors and BigInts, which have none of their own. */
function plain(_key: string, value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  if (!(value instanceof Error)) return value;
  const code = "code" in value ? value.code : undefined;
  return { type: value.name, code, message: value.message, stack: value.stack, cause: value.cause };
}

let lost = 0;

function writeStderr(line: string): void {
  const notice =
    lost > 0 ? `${JSON.stringify({ level: "warn", msg: "log lines were lost", count: lost })}\n` : "";
  const bytes = encode(notice + line);
  if ((sys.poll1(STDERR, sys.POLLOUT, 0) & sys.POLLOUT) === 0) {
    lost++;
    return;
  }
  if (sys.write(STDERR, bytes.buffer, 0, bytes.byteLength) < 0) lost++;
  else lost = 0;
}
