/**
 * A piscina pool for one worker file, made when the first task comes.
 *
 * A thread costs 6 to 10 MB, so none is started before it is needed, and idle ones end. Starting one costs 40 ms of CPU
 * and 11 MB of Node's text that nothing else needs, so a pool may keep one. Must not abort a running task: that would end
 * its thread between a mount and its undo. A caller that gives up waits for its task and undoes the work.
 */
import type { Piscina } from "piscina";
import { type BlazarError, blazarError, reasonOf } from "../../contracts/errors.ts";
import { type Deferred, deferred } from "../../lib/async.ts";
import type { Outcome } from "../../workers/outcome.ts";
import { unwrap } from "../../workers/outcome.ts";

type TaskMap<Tasks> = {
  readonly [Name in keyof Tasks]: (input: never) => Outcome<unknown> | Promise<Outcome<unknown>>;
};
type Input<Task> = Task extends (input: infer Given) => unknown ? Given : never;
type Result<Task> = Task extends (...input: never[]) => infer Returned
  ? Awaited<Returned> extends Outcome<infer Value>
    ? Value
    : never
  : never;

/** Runs tasks by name. Rejects with the task's BlazarError. */
export interface TaskRunner<Tasks extends TaskMap<Tasks>> {
  run<Name extends keyof Tasks & string>(name: Name, input: Input<Tasks[Name]>): Promise<Result<Tasks[Name]>>;
  /** True if a thread has been started: the next task will not have to wait for one. */
  readonly isAwake?: boolean;
}

/** The pool as `onIdle` gets it. */
export interface IdlePool<Tasks extends TaskMap<Tasks>> extends TaskRunner<Tasks> {
  /** How many threads have been started so far. */
  readonly started: number;
}

export interface WorkerPoolOptions<Tasks extends TaskMap<Tasks>> {
  /** The worker's bundle, an absolute path (`dist/workers/rootfs.worker.mjs`). */
  readonly file: string;
  readonly maxThreads?: number;
  /** So many tasks are given to one thread: those that wait for the kernel leave it to others. Default: 1. */
  readonly tasksPerThread?: number;
  /** Keeps one idle thread; default: none. */
  readonly keepOne?: boolean;
  /** How long an idle thread is kept, in milliseconds. */
  readonly idleTimeoutMs?: number;
  /** Called when there was no task for that long, and idle threads have ended. Its own tasks do not count. */
  readonly onIdle?: (pool: IdlePool<Tasks>) => Promise<void>;
  /** When it is called for the first time, in milliseconds: the daemon's start leaves much to clean up. */
  readonly firstIdleMs?: number;
  /** Called when a thread died without a task: no task's error tells it. */
  readonly onThreadError?: (error: unknown) => void;
}

/** Longer than the pauses between the pods of a node that starts them one by one. */
const IDLE_TIMEOUT_MS = 5_000;
/** How much later idle threads have surely ended. */
const ENDED_AFTER_MS = 500;

/** Threads that run the tasks of one worker file. */
export class WorkerPool<Tasks extends TaskMap<Tasks>> implements TaskRunner<Tasks> {
  private readonly options: WorkerPoolOptions<Tasks>;
  private pool: Promise<Piscina> | undefined;
  private threads: Piscina | undefined;
  private closed = false;
  private running = 0;
  private idle: NodeJS.Timeout | undefined;
  private wasIdle = false;
  private startedCount = 0;
  /** A task has returned: the worker file works. */
  private proven = false;
  private readonly waiting = new Set<Deferred<Outcome<unknown>>>();

  constructor(options: WorkerPoolOptions<Tasks>) {
    this.options = options;
  }

  async run<Name extends keyof Tasks & string>(
    name: Name,
    input: Input<Tasks[Name]>,
  ): Promise<Result<Tasks[Name]>> {
    if (this.closed) throw this.failure(name, "the pool is closed");
    clearTimeout(this.idle);
    this.running++;
    try {
      return await this.runNow(name, input);
    } finally {
      if (--this.running === 0) this.waitForIdle();
    }
  }

  get isAwake(): boolean {
    return this.pool !== undefined;
  }

  /** How many threads have been started so far. */
  get started(): number {
    return this.startedCount;
  }

  /** Tasks that have begun, and those that wait for a thread. */
  get tasks(): { readonly running: number; readonly queued: number } {
    const all = this.waiting.size;
    const queued = Math.min(all, this.threads?.queueSize ?? 0);
    return { running: all - queued, queued };
  }

  /** Lets running tasks finish, then ends the threads. */
  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.idle);
    const pool = await this.pool;
    await pool?.close();
  }

  private waitForIdle(): void {
    const { onIdle, firstIdleMs } = this.options;
    if (onIdle === undefined || this.closed) return;
    const wait = this.idleTimeoutMs + ENDED_AFTER_MS;
    this.idle = setTimeout(
      () => {
        this.wasIdle = true;
        onIdle(this.unnoticed()).catch(this.options.onThreadError ?? (() => undefined));
      },
      this.wasIdle ? wait : (firstIdleMs ?? wait),
    );
    this.idle.unref();
  }

  /** This pool, for tasks that do not make it busy. */
  private unnoticed(): IdlePool<Tasks> {
    const started = () => this.startedCount;
    return {
      get started() {
        return started();
      },
      run: (name, input) => this.runNow(name, input),
    };
  }

  private get idleTimeoutMs(): number {
    return this.options.idleTimeoutMs ?? IDLE_TIMEOUT_MS;
  }

  private async runNow<Name extends keyof Tasks & string>(
    name: Name,
    input: Input<Tasks[Name]>,
  ): Promise<Result<Tasks[Name]>> {
    this.pool ??= this.start();
    let outcome: Outcome<unknown>;
    try {
      outcome = await this.runIn(await this.pool, name, input);
    } catch (cause) {
      throw this.failure(name, reasonOf(cause), cause);
    }
    return unwrap(outcome) as Result<Tasks[Name]>;
  }

  private async runIn(pool: Piscina, name: string, input: unknown): Promise<Outcome<unknown>> {
    const ended = deferred<Outcome<unknown>>();
    this.waiting.add(ended);
    pool.run(input, { name }).then(ended.resolve, ended.reject);
    try {
      const outcome = await ended.promise;
      this.proven = true;
      return outcome;
    } finally {
      this.waiting.delete(ended);
    }
  }

  private async start(): Promise<Piscina> {
    const { Piscina } = await import("piscina");
    const pool = new Piscina({
      filename: this.options.file,
      minThreads: this.options.keepOne === true ? 1 : 0,
      maxThreads: this.options.maxThreads ?? 2,
      concurrentTasksPerWorker: this.options.tasksPerThread ?? 1,
      idleTimeout: this.idleTimeoutMs,
      // a thread that waits on a futex saves microseconds, but does not end in time when it is idle
      atomics: "disabled",
      recordTiming: false,
    });
    this.threads = pool;
    pool.on("workerCreate", () => {
      this.startedCount++;
    });
    pool.on("error", (error: unknown) => this.threadDied(pool, error));
    return pool;
  }

  /** A thread died without a task. If no task has ever returned, piscina would start new threads for ever. */
  private threadDied(pool: Piscina, error: unknown): void {
    this.options.onThreadError?.(error);
    if (this.proven) return;
    for (const task of this.waiting) task.reject(error);
    this.pool = undefined;
    pool.destroy().catch(() => undefined);
  }

  private failure(name: string, reason: string, cause?: unknown): BlazarError {
    const about = { subject: this.options.file, cause };
    return blazarError("Internal", `run the task ${name} in a worker`, reason, about);
  }
}
