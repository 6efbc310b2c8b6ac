/**
 * Child processes: clones that never return into the loop, commands whose start reports its errors to the parent, and
 * the reaper, which turns SIGCHLD into one callback a process.
 *
 * A child goes on in TypeScript, in a copy of the whole engine. It must never touch the loop, and it leaves only by
 * execve(2) or _exit(2), whatever is thrown. Follows clone(2), waitpid(2), signalfd(2).
 */
import * as sys from "sys";
import { type BlazarError, blazarError } from "../../src/contracts/errors.ts";
import { type ErrorFallback, errorFromRecord, errorToRecord } from "../../src/protocol/wire/error-record.ts";
import { check, checkValue, failure } from "./check.ts";
import type { EventLoop } from "./event-loop.ts";
import { createLogger } from "./log.ts";
import { watchSignals } from "./signals.ts";
import { decode, encode } from "./text-codec.ts";

/** Status of a child whose TypeScript threw: EX_SOFTWARE of sysexits.h, which the runtime uses for itself, too. */
const CHILD_THREW = 70;
/** Status of a child that could not be prepared or executed; the report to its parent says why. */
const NOT_EXECUTED = 127;
const REPORT_BYTES = 4096;
/** Longest text of a report: five of them fit REPORT_BYTES, and so one atomic write to a pipe. */
const REPORT_TEXT = 256;
/** The report's descriptor moves here, beyond the numbers that `prepare` may place files at. */
const FIRST_REPORT_FD = 512;
const START_FAILURE: ErrorFallback = { code: "Internal", operation: "start a process" };

/** How a process ended: an exit code, or the signal that killed it. */
export interface ExitStatus {
  readonly code: number | undefined;
  readonly signal: number | undefined;
}

/** The code that a shell and containerd show: 128 + n for signal n. */
export function shellStatus(status: ExitStatus): number {
  return status.code ?? 128 + (status.signal ?? 0);
}

export interface CloneOptions {
  /** `CLONE_NEW*`, `CLONE_PARENT`. */
  readonly flags?: number;
  /** A cgroup2 directory that the child starts in. */
  readonly cgroupFd?: number;
}

/**
 * Clones this process. The child runs `body` and exits with the status that it returns, or with 70 if it throws.
 * Returns in the parent only, with the child's pid.
 */
export function cloneChild(options: CloneOptions, body: () => number): number {
  const pid = sys.clone(options.flags ?? 0, options.cgroupFd ?? -1);
  if (pid !== 0) return check(pid, "clone a process");
  let status = CHILD_THREW;
  try {
    status = body();
  } catch (error) {
    createLogger("child").error("a child process threw an error", { error });
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
 * Clones this process, runs `prepare` in the child and executes the command that it returns. The promise gives the pid
 * once execve(2) has succeeded. It rejects with the error that `prepare` threw, or with execve's; the child is gone then,
 * and its exit still reaches the reaper. `prepare` must throw, not exit.
 *
 * @param started called with the pid before the child can have reported anything: the place to register its exit
 */
export function spawnChild(
  loop: EventLoop,
  options: CloneOptions,
  prepare: () => Command,
  started: (pid: number) => void = () => undefined,
): Promise<number> {
  const [reader, writer] = checkValue(sys.pipe2(sys.O_NONBLOCK), "make a pipe for a child's report");
  let pid: number;
  try {
    pid = cloneChild(options, () => execute(prepare, writer));
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

/** In the child. Returns only if the command could not be executed. */
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
  const bytes = encode(JSON.stringify(errorToRecord(error, START_FAILURE, REPORT_TEXT)));
  sys.write(writer, bytes.buffer, 0, Math.min(bytes.byteLength, REPORT_BYTES));
  return NOT_EXECUTED;
}

/** In the parent. Resolves with undefined when the pipe closed without a report: then execve(2) has succeeded. */
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
    return errorFromRecord(JSON.parse(text), START_FAILURE);
  } catch (cause) {
    return blazarError("Internal", "start a process", text, { cause });
  }
}

/** Exits that nobody has asked about yet; the oldest are forgotten beyond this. */
const MAX_UNCLAIMED = 256;
/** Processes reaped in one pass of the loop. */
const REAPED_PER_PASS = 32;

/** Reaps every child of this process. A program has one. */
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
   * Calls `callback` once when `pid` has ended; in a later pass of the loop if it has ended already. Register right
   * after the clone: pids are reused, and exits that nobody asked about are forgotten in time.
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

  /** Forgets the callback of a process, which is reaped all the same. */
  forget(pid: number): void {
    this.waiting.delete(pid);
  }

  /** Stops watching SIGCHLD. */
  stop(): void {
    this.stopWatching();
  }

  /** One SIGCHLD may stand for many exits, so this reaps until no child is left that has ended. */
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
