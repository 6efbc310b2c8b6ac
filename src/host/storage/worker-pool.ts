/**
 * A piscina pool for one worker file, made on first use.
 *
 * A thread costs 8 to 10 MB, so none exists before it is needed and all go away when there was nothing to do for a
 * while; that moment is the daemon's to clean up in (`onIdle`). A running task is never
 * aborted, because that would terminate its thread between a mount and its undo: whoever gives up undoes the
 * task's work when it is done.
 */
import type { Piscina } from "piscina";
import { BlazarError, reasonOf } from "../../contracts/errors.ts";
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

export interface WorkerPoolOptions<Tasks extends TaskMap<Tasks>> {
  /** The worker's bundle, an absolute path (`dist/workers/rootfs.worker.mjs`). */
  readonly file: string;
  readonly maxThreads?: number;
  /** After how long without a task the threads end, in milliseconds. */
  readonly idleTimeoutMs?: number;
  /** Called before they do; may still run tasks, and is waited for. */
  readonly onIdle?: (workers: TaskRunner<Tasks>) => Promise<void>;
  /** Told of a thread that died without a task, which nobody else would hear of. */
  readonly onThreadError?: (error: unknown) => void;
}

/** Longer than the pauses of a node that starts pods one after the other; a new thread costs some 40 ms of CPU. */
const IDLE_TIMEOUT_MS = 5_000;

/** Threads that run the tasks of one worker file. */
export class WorkerPool<Tasks extends TaskMap<Tasks>> implements TaskRunner<Tasks> {
  readonly #options: WorkerPoolOptions<Tasks>;
  #pool: Promise<Piscina> | undefined;
  #closed = false;
  #running = 0;
  #idle: NodeJS.Timeout | undefined;
  #ending: Promise<void> = Promise.resolve();
  /** A task has come back: the worker file is sound. */
  #proven = false;
  readonly #waiting = new Set<(error: unknown) => void>();

  constructor(options: WorkerPoolOptions<Tasks>) {
    this.#options = options;
  }

  async run<Name extends keyof Tasks & string>(
    name: Name,
    input: Input<Tasks[Name]>,
  ): Promise<Result<Tasks[Name]>> {
    if (this.#closed) throw this.#failure(name, "the pool is closed");
    this.#pool ??= this.#start();
    clearTimeout(this.#idle);
    this.#running++;
    try {
      return await this.#runIn(this.#pool, name, input);
    } finally {
      if (--this.#running === 0 && !this.#closed) this.#endWhenIdle();
    }
  }

  get isAwake(): boolean {
    return this.#pool !== undefined;
  }

  /** Lets running tasks finish, then ends the threads. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#idle);
    await this.#ending;
    const pool = await this.#pool;
    await pool?.close();
  }

  #endWhenIdle(): void {
    this.#idle = setTimeout(() => {
      const pool = this.#pool;
      // whoever comes now starts new threads
      this.#pool = undefined;
      if (pool !== undefined) this.#ending = this.#end(pool);
    }, this.#idleTimeoutMs);
    this.#idle.unref();
  }

  async #end(started: Promise<Piscina>): Promise<void> {
    try {
      await this.#options.onIdle?.({ run: (name, input) => this.#runIn(started, name, input) });
    } catch (error) {
      this.#options.onThreadError?.(error);
    }
    const pool = await started.catch(() => undefined);
    await pool?.close().catch(this.#options.onThreadError ?? (() => undefined));
  }

  get #idleTimeoutMs(): number {
    return this.#options.idleTimeoutMs ?? IDLE_TIMEOUT_MS;
  }

  async #runIn<Name extends keyof Tasks & string>(
    started: Promise<Piscina>,
    name: Name,
    input: Input<Tasks[Name]>,
  ): Promise<Result<Tasks[Name]>> {
    let outcome: Outcome<unknown>;
    try {
      outcome = await this.#outcomeOf(await started, name, input);
    } catch (cause) {
      throw this.#failure(name, reasonOf(cause), cause);
    }
    return unwrap(outcome) as Result<Tasks[Name]>;
  }

  async #outcomeOf(pool: Piscina, name: string, input: unknown): Promise<Outcome<unknown>> {
    let giveUp: (error: unknown) => void = () => undefined;
    const hopeless = new Promise<never>((_, reject) => {
      giveUp = reject;
    });
    this.#waiting.add(giveUp);
    try {
      const outcome: Outcome<unknown> = await Promise.race([pool.run(input, { name }), hopeless]);
      this.#proven = true;
      return outcome;
    } finally {
      this.#waiting.delete(giveUp);
    }
  }

  async #start(): Promise<Piscina> {
    const { Piscina } = await import("piscina");
    const pool = new Piscina({
      filename: this.#options.file,
      minThreads: 0,
      maxThreads: this.#options.maxThreads ?? 2,
      // the pool ends them all at once; this is for what a burst has left beside a steady trickle
      idleTimeout: 2 * this.#idleTimeoutMs,
      // waiting on a futex would save microseconds and keep an idle thread from being ended in time
      atomics: "disabled",
      recordTiming: false,
    });
    pool.on("error", (error: unknown) => this.#threadDied(pool, error));
    return pool;
  }

  /** A thread ended without a task. If none has ever worked, piscina would start and lose them for ever. */
  #threadDied(pool: Piscina, error: unknown): void {
    this.#options.onThreadError?.(error);
    if (this.#proven) return;
    for (const reject of this.#waiting) reject(error);
    this.#pool = undefined;
    pool.destroy().catch(() => undefined);
  }

  #failure(name: string, reason: string, cause?: unknown): BlazarError {
    return new BlazarError("Internal", {
      operation: `run the task ${name} in a worker`,
      subject: this.#options.file,
      reason,
      cause,
    });
  }
}
