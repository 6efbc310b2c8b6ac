/**
 * A piscina pool for one worker file, made on first use.
 *
 * A thread costs 8 to 10 MB, so none exists before it is needed and idle ones go away. A running task is never
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
}

export interface WorkerPoolOptions {
  /** The worker's bundle, an absolute path (`dist/workers/rootfs.worker.mjs`). */
  readonly file: string;
  readonly maxThreads?: number;
  /** How long an idle thread is kept, in milliseconds. */
  readonly idleTimeoutMs?: number;
  /** Told of a thread that died without a task, which nobody else would hear of. */
  readonly onThreadError?: (error: unknown) => void;
}

/** Threads that run the tasks of one worker file. */
export class WorkerPool<Tasks extends TaskMap<Tasks>> implements TaskRunner<Tasks> {
  readonly #options: WorkerPoolOptions;
  #pool: Promise<Piscina> | undefined;
  #closed = false;
  /** A task has come back: the worker file is sound. */
  #proven = false;
  readonly #waiting = new Set<(error: unknown) => void>();

  constructor(options: WorkerPoolOptions) {
    this.#options = options;
  }

  async run<Name extends keyof Tasks & string>(
    name: Name,
    input: Input<Tasks[Name]>,
  ): Promise<Result<Tasks[Name]>> {
    if (this.#closed) throw this.#failure(name, "the pool is closed");
    this.#pool ??= this.#start();
    let outcome: Outcome<unknown>;
    try {
      outcome = await this.#runIn(await this.#pool, name, input);
    } catch (cause) {
      throw this.#failure(name, reasonOf(cause), cause);
    }
    return unwrap(outcome) as Result<Tasks[Name]>;
  }

  /** Lets running tasks finish, then ends the threads. */
  async close(): Promise<void> {
    this.#closed = true;
    const pool = await this.#pool;
    await pool?.close();
  }

  async #runIn(pool: Piscina, name: string, input: unknown): Promise<Outcome<unknown>> {
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
      idleTimeout: this.#options.idleTimeoutMs ?? 10_000,
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
