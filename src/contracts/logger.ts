/**
 * The logging port: what a module may ask of the log.
 *
 * A pino logger satisfies it as it is. Modules take a `Logger` as an argument and never import pino, so
 * that tests can capture lines and so that `main.ts` alone decides where lines go.
 */

/** Structured fields of one line. An `Error` belongs under the key `err`. */
export type LogFields = Readonly<Record<string, unknown>>;

/** A narrow structured logger; method order and meaning are pino's. */
export interface Logger {
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
  /** A logger that adds `fields` to every line, for example the sandbox id. */
  child(fields: LogFields): Logger;
}

/** A logger that drops everything, for tests and tools that want silence. */
export const silentLogger: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLogger,
};
