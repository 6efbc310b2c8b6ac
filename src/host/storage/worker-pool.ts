/**
 * A piscina pool for one worker file, made on first use.
 *
 * A thread costs 6 to 10 MB, so none exists before it is needed and idle ones go away. Its start costs 40 ms of CPU
 * and touches 11 MB of Node's text that nothing else needs, so a pool may keep one. A running task is never
 * aborted, because that would terminate its thread between a mount and its undo: whoever gives up undoes the
 * task's work when it is done.
 */
import type { Piscina } from "piscina";
import { type BlazarError, blazarError, reasonOf } from "../../contracts/errors.ts";
import type { Outcome } from "../../workers/outcome.ts";
import { unwrap } from "../../workers/outcome.ts";

type TaskMap<Tasks> = { readonly [Name in keyof Tasks]: (input: never) => Outcome<unknown> };
type Input<Task> = Task extends (input: infer Given) => unknown ? Given : never;
type Result<Task> = Task extends (...input: never[]) => Outcome<infer Value> ? Value : never;

/** Runs tasks by name; rejects with the task's BlazarError. */
export interface TaskRunner<Tasks extends TaskMap<Tasks>> {
  run<Name extends keyof Tasks & string>(name: Name, input: Input<Tasks[Name]>): Promise<Result<Tasks[Name]>>;
  /** A thread is there: the next task needs not wait for one to start. */
  readonly isAwake?: boolean;
}

/** Told when there has been nothing to do for a while. */
export interface IdlePool<Tasks extends TaskMap<Tasks>> extends TaskRunner<Tasks> {
  /** Threads that have been started so far. */
  readonly started: number;
}

export interface WorkerPoolOptions<Tasks extends TaskMap<Tasks>> {
  /** The worker's bundle, an absolute path (`dist/workers/rootfs.worker.mjs`). */
  readonly file: string;
  readonly maxThreads?: number;
  /** Keeps one thread once it was needed; default: none. */
  readonly keepOne?: boolean;
  /** How long an idle thread is kept, in milliseconds. */
  readonly idleTimeoutMs?: number;
  /** Called when there was no task for that long and a little longer. Its own tasks do not make the pool busy. */
  readonly onIdle?: (pool: IdlePool<Tasks>) => Promise<void>;
  /** How long that takes the first time, in milliseconds: what the start has left can be cleaned up sooner. */
  readonly firstIdleMs?: number;
  /** Told of a thread that died without a task, which nobody else would hear of. */
  readonly onThreadError?: (error: unknown) => void;
}

/** Longer than the pauses of a node that starts pods one after the other. */
const IDLE_TIMEOUT_MS = 5_000;
/** Idle threads have ended by then. */
const ENDED_AFTER_MS = 500;

/** Threads that run the tasks of one worker file. */
export class WorkerPool<Tasks extends TaskMap<Tasks>> implements TaskRunner<Tasks> {
  private readonly options: WorkerPoolOptions<Tasks>;
  private pool: Promise<Piscina> | undefined;
  private closed = false;
  private running = 0;
  private idle: NodeJS.Timeout | undefined;
  private wasIdle = false;
  private startedCount = 0;
  /** A task has come back: the worker file is sound. */
  private proven = false;
  private readonly waiting = new Set<(error: unknown) => void>();

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
    let giveUp: (error: unknown) => void = () => undefined;
    const hopeless = new Promise<never>((_, reject) => {
      giveUp = reject;
    });
    this.waiting.add(giveUp);
    try {
      const outcome: Outcome<unknown> = await Promise.race([pool.run(input, { name }), hopeless]);
      this.proven = true;
      return outcome;
    } finally {
      this.waiting.delete(giveUp);
    }
  }

  private async start(): Promise<Piscina> {
    const { Piscina } = await import("piscina");
    const pool = new Piscina({
      filename: this.options.file,
      minThreads: this.options.keepOne === true ? 1 : 0,
      maxThreads: this.options.maxThreads ?? 2,
      idleTimeout: this.idleTimeoutMs,
      // waiting on a futex would save microseconds and keep an idle thread from being ended in time
      atomics: "disabled",
      recordTiming: false,
    });
    pool.on("workerCreate", () => {
      this.startedCount++;
    });
    pool.on("error", (error: unknown) => this.threadDied(pool, error));
    return pool;
  }

  /** A thread ended without a task. If none has ever worked, piscina would start and lose them for ever. */
  private threadDied(pool: Piscina, error: unknown): void {
    this.options.onThreadError?.(error);
    if (this.proven) return;
    for (const reject of this.waiting) reject(error);
    this.pool = undefined;
    pool.destroy().catch(() => undefined);
  }

  private failure(name: string, reason: string, cause?: unknown): BlazarError {
    return blazarError("Internal", `run the task ${name} in a worker`, reason, {
      subject: this.options.file,
      cause,
    });
  }
}
