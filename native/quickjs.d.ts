/**
 * The parts of QuickJS's `std` and `os` modules (2025-04-26) that Blazar's guest agent and keeper use.
 *
 * Functions that misbehave are left out on purpose, so that using them is a type error:
 * - `os.setReadHandler` and `os.setTimeout` use select(2) and are unfair; use native/runtime/event-loop.ts.
 * - `os.signal` loses signals; use signalfd (native/runtime/signals.ts).
 * - `os.exec` sets uid and gid in the wrong order; use native/runtime/child.ts.
 * - `std.loadFile` fails on /proc; use `sys.readFile`.
 * - Workers are threads, and a process with threads cannot be cloned by one of them.
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
  /** exit(3): runs atexit handlers and flushes stdio. Never in a child process, which calls `sys._exit`. */
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
