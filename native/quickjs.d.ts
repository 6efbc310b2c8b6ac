/**
 * The parts of QuickJS's `std` and `os` modules (2025-04-26) that Blazar's guest agent and keeper use.
 *
 * Deliberately incomplete: what misbehaves is left out, so that using it is a type error. Not here are
 * `os.setReadHandler` and `os.setTimeout` (select(2), unfair: native/runtime/event-loop.ts instead),
 * `os.signal` (loses signals: signalfd), `os.exec` (wrong uid/gid order: native/runtime/child.ts),
 * `std.loadFile` (fails on /proc: `sys.readFile`), Workers (the engine must stay single-threaded: fork).
 */

declare module "std" {
  /** A stdio stream. Writes may block: for diagnostics only. */
  export interface FILE {
    puts(text: string): void;
    flush(): void;
  }
  /** stdout, as a stdio stream. */
  export const out: FILE;
  /** stderr, as a stdio stream. */
  export const err: FILE;
  /** exit(3): runs atexit handlers and flushes stdio. Never in a forked child: `sys._exit`. */
  export function exit(status: number): never;
  /** Runs QuickJS's cycle collector now. */
  export function gc(): void;
  /** strerror(3) of a positive errno. */
  export function strerror(errno: number): string;
  /** getenv(3). */
  export function getenv(name: string): string | undefined;
  /** The whole environment. */
  export function getenviron(): Record<string, string>;
}

declare module "os" {
  /** CLOCK_MONOTONIC in milliseconds, with fractions. */
  export function now(): number;
}

/** The process's arguments, the program's own name first. */
declare const scriptArgs: readonly string[];

/** Writes to stdout, with spaces between and a newline after. Blocking: for diagnostics only. */
declare function print(...values: unknown[]): void;

/** Only `log`, to stdout, like {@link print}. */
declare const console: { log(...values: unknown[]): void };
