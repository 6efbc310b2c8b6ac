/**
 * Child processes: fork that cannot come back, exec with the error of its preparation told to the parent, and
 * the reaper that turns SIGCHLD into one callback a process.
 *
 * A child goes on in TypeScript in a copy of the whole engine: it must never touch the loop, and it leaves only
 * by execve(2) or _exit(2), whatever is thrown. Follows clone(2), waitpid(2), signalfd(2).
 */
import * as sys from "sys";
import {
  BlazarError,
  blazarError,
  ERROR_KINDS,
  type ErrorCode,
  reasonOf,
} from "../../src/contracts/errors.ts";
import { check, checkValue, failure } from "./check.ts";
import type { EventLoop } from "./event-loop.ts";
import { createLogger } from "./log.ts";
import { watchSignals } from "./signals.ts";
import { decode, encode } from "./text-codec.ts";

/** Status of a child whose TypeScript threw: EX_SOFTWARE, as of the runtime itself. */
const CHILD_THREW = 70;
/** Status of a child that could not be prepared or executed; its parent knows more. */
const NOT_EXECUTED = 127;
const REPORT_BYTES = 4096;
/** Beyond the numbers that `prepare` may place files at. */
const FIRST_REPORT_FD = 512;

/** How a process ended: an exit code, or the signal that killed it. */
export interface ExitStatus {
  readonly code: number | undefined;
  readonly signal: number | undefined;
}

/** The code that a shell and containerd show: 128 + n for signal n. */
export function shellStatus(status: ExitStatus): number {
  return status.code ?? 128 + (status.signal ?? 0);
}

export interface ForkOptions {
  /** `CLONE_NEW*`, `CLONE_PARENT`. */
  readonly flags?: number;
  /** A cgroup2 directory to be born in. */
  readonly cgroupFd?: number;
}

/**
 * Forks; the child runs `body` and exits with the status it returns, with 70 if it throws. Returns the pid in
 * the parent, and only there.
 */
export function forkChild(options: ForkOptions, body: () => number): number {
  const pid = sys.fork(options.flags ?? 0, options.cgroupFd ?? -1);
  if (pid !== 0) return check(pid, "fork");
  let status = CHILD_THREW;
  try {
    status = body();
  } catch (error) {
    createLogger("child").error("a forked child threw", { error });
  } finally {
    sys._exit(status & 0xff);
  }
}

/** What a prepared child executes. */
export interface Command {
  /** Exactly this file: execve(2). */
  readonly path: string;
  readonly argv: readonly string[];
  /** `NAME=value` each. */
  readonly env: readonly string[];
}

/**
 * Forks, runs `prepare` in the child and executes what it returns. The promise gives the pid once execve(2) has
 * succeeded; it rejects with the BlazarError that `prepare` threw or with execve's, and then the child is gone
 * (its exit still reaches the reaper). `prepare` must throw, not exit.
 *
 * @param started called with the pid before anything can be known of the child: the place to register its exit
 */
export function spawnChild(
  loop: EventLoop,
  options: ForkOptions,
  prepare: () => Command,
  started: (pid: number) => void = () => undefined,
): Promise<number> {
  const [reader, writer] = checkValue(sys.pipe2(sys.O_NONBLOCK), "make a pipe for a child's report");
  let pid: number;
  try {
    pid = forkChild(options, () => execute(prepare, writer));
    started(pid);
  } catch (error) {
    sys.close(reader);
    throw error;
  } finally {
    sys.close(writer);
  }
  return report(loop, reader).then((error) => {
    if (error !== undefined) throw error;
    return pid;
  });
}

/** In the child: comes back only if it could not execute. */
function execute(prepare: () => Command, reportTo: number): number {
  const moved = sys.fcntl(reportTo, sys.F_DUPFD_CLOEXEC, FIRST_REPORT_FD);
  const writer = moved < 0 ? reportTo : moved;
  let error: unknown;
  try {
    if (moved >= 0) sys.close(reportTo);
    const command = prepare();
    const result = sys.execve(command.path, command.argv, command.env);
    const missing = result === -sys.ENOENT || result === -sys.ENOTDIR;
    error = failure(result, missing ? "CommandNotFound" : "CommandNotExecutable", "execute", command.path);
  } catch (thrown) {
    error = thrown;
  }
  const bytes = encode(describe(error));
  sys.write(writer, bytes.buffer, 0, Math.min(bytes.byteLength, REPORT_BYTES));
  return NOT_EXECUTED;
}

/** A report fits one atomic pipe write: the fields are short, and cut if they are not. */
function describe(error: unknown): string {
  const cut = (text: string | undefined): string | undefined => text?.slice(0, 256);
  if (!(error instanceof BlazarError))
    return JSON.stringify({ code: "Internal", reason: cut(reasonOf(error)) });
  const { operation, subject, reason, remedy } = error.details;
  return JSON.stringify({
    code: error.code,
    operation: cut(operation),
    subject: cut(subject),
    reason: cut(reason),
    remedy: cut(remedy),
  });
}

/** In the parent: undefined when the pipe closed without a word, which is execve(2)'s success. */
function report(loop: EventLoop, reader: number): Promise<BlazarError | undefined> {
  return new Promise((resolve) => {
    const bytes = new Uint8Array(REPORT_BYTES);
    let length = 0;
    const watch = loop.watch(reader, {
      readable: () => {
        const count = sys.read(reader, bytes.buffer, length, REPORT_BYTES - length);
        if (count === -sys.EAGAIN) return;
        if (count > 0) length += count;
        if (count > 0 && length < REPORT_BYTES) return;
        watch.stop();
        sys.close(reader);
        resolve(length === 0 ? undefined : parseReport(decode(bytes.subarray(0, length))));
      },
    });
  });
}

function parseReport(text: string): BlazarError {
  try {
    const fields = JSON.parse(text) as Record<string, unknown>;
    const field = (name: string): string | undefined => {
      const value = fields[name];
      return typeof value === "string" ? value : undefined;
    };
    const code = field("code") ?? "";
    return blazarError(
      isErrorCode(code) ? code : "Internal",
      field("operation") ?? "start a process",
      field("reason") ?? "unknown",
      { subject: field("subject"), remedy: field("remedy") },
    );
  } catch (cause) {
    return blazarError("Internal", "start a process", text, { cause });
  }
}

function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(ERROR_KINDS, text);
}

/** Ends of processes that nobody has asked about yet; the oldest are forgotten beyond this. */
const MAX_UNCLAIMED = 256;
/** Processes reaped in one pass of the loop. */
const REAPED_PER_PASS = 32;

/** Reaps every child of the process. One per program. */
export class ChildReaper {
  private readonly loop: EventLoop;
  private readonly waiting = new Map<number, (status: ExitStatus) => void>();
  private readonly unclaimed = new Map<number, ExitStatus>();
  private readonly stopWatching: () => void;

  constructor(loop: EventLoop) {
    this.loop = loop;
    this.stopWatching = watchSignals(loop, [sys.SIGCHLD], () => this.reap());
    // children may have ended before SIGCHLD was blocked
    loop.defer(() => this.reap());
  }

  /**
   * Calls `callback` once when `pid` has ended, in a later pass if it has already. Register right after the
   * fork: pids are reused, and ends that nobody asked about are forgotten in time.
   */
  onExit(pid: number, callback: (status: ExitStatus) => void): void {
    const status = this.unclaimed.get(pid);
    if (status === undefined) {
      this.waiting.set(pid, callback);
      return;
    }
    this.unclaimed.delete(pid);
    this.loop.defer(() => callback(status));
  }

  /** Whether a child with this pid has ended and nobody has asked about it yet. */
  hasEnded(pid: number): boolean {
    return this.unclaimed.has(pid);
  }

  /** Gives up on a process; its end is reaped all the same. */
  forget(pid: number): void {
    this.waiting.delete(pid);
  }

  /** Stops watching SIGCHLD. */
  stop(): void {
    this.stopWatching();
  }

  /** One SIGCHLD may stand for many ends: reap until nobody is left. */
  private reap(): void {
    for (let count = 0; count < REAPED_PER_PASS; count++) {
      const [pid, code, signal] = sys.waitpid(-1, sys.WNOHANG);
      if (pid <= 0) return;
      this.settle(pid, signal > 0 ? { code: undefined, signal } : { code, signal: undefined });
    }
    this.loop.defer(() => this.reap());
  }

  private settle(pid: number, status: ExitStatus): void {
    const callback = this.waiting.get(pid);
    if (callback !== undefined) {
      this.waiting.delete(pid);
      this.loop.defer(() => callback(status));
      return;
    }
    this.unclaimed.delete(pid);
    this.unclaimed.set(pid, status);
    if (this.unclaimed.size <= MAX_UNCLAIMED) return;
    const oldest = this.unclaimed.keys().next().value;
    if (oldest !== undefined) this.unclaimed.delete(oldest);
  }
}
