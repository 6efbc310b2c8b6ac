/**
 * Builds under way: one for each key, joined by all who want it, called off when nobody does any more.
 *
 * It remembers failures, too: a build that has failed is not tried again behind a start for a while, and for longer each
 * time. It knows nothing of what a build does.
 */
import { abortable, cancelled, throwIfAborted } from "../../lib/async.ts";

const FIRST_PAUSE_MS = 60_000;
const LONGEST_PAUSE_MS = 3_600_000;

interface Build<Result> {
  readonly controller: AbortController;
  readonly result: Promise<Result>;
  waiting: number;
  /** The store itself wants it: it goes on when all who wait have given up. */
  behind: boolean;
}

interface Failure {
  readonly pauseMs: number;
  readonly until: number;
}

export class Builds<Result> {
  private readonly underWay = new Map<string, Build<Result>>();
  private readonly failures = new Map<string, Failure>();
  private closed = false;

  constructor(
    private readonly work: (key: string, signal: AbortSignal) => Promise<Result>,
    private readonly now: () => number,
    /** What a build does, in the infinitive, for errors. */
    private readonly operation: string,
  ) {}

  /** Waits for the build of this key, begun with `work` if there is none. Throws what it throws, or Cancelled. */
  async join(key: string, signal: AbortSignal | undefined): Promise<Result> {
    throwIfAborted(signal, { operation: this.operation, subject: key });
    // A build that was called off cannot be joined any more: the next begins when that one has cleaned up.
    for (let old = this.underWay.get(key); old?.controller.signal.aborted; old = this.underWay.get(key))
      await old.result.catch(() => undefined);
    const build = this.underWay.get(key) ?? this.begin(key);
    build.waiting++;
    try {
      return await abortable(build.result, signal, { operation: this.operation, subject: key });
    } finally {
      build.waiting--;
      if (build.waiting === 0 && !build.behind) build.controller.abort();
    }
  }

  /**
   * Begins one behind, unless one is under way or has failed lately; `onBegin` is called if it does, `onFailure` with
   * what came of it and when it may be tried again.
   */
  behind(key: string, report: { onBegin(): void; onFailure(error: unknown, pauseMs: number): void }): void {
    if (this.closed) return;
    const known = this.underWay.get(key);
    if (known !== undefined) {
      known.behind = true;
      return;
    }
    if (this.now() < (this.failures.get(key)?.until ?? 0)) return;
    report.onBegin();
    const build = this.begin(key);
    build.behind = true;
    build.result.catch((error: unknown) => {
      if (!this.closed) report.onFailure(error, this.failures.get(key)?.pauseMs ?? 0);
    });
  }

  /** The build of this key that is under way, if there is one; its end is nobody's but those who wait. */
  pending(key: string): Promise<Result> | undefined {
    return this.underWay.get(key)?.result;
  }

  /** Calls all off and waits until they have ended. */
  async close(): Promise<void> {
    this.closed = true;
    const builds = [...this.underWay.values()];
    for (const { controller } of builds) controller.abort();
    await Promise.allSettled(builds.map(({ result }) => result));
  }

  private begin(key: string): Build<Result> {
    if (this.closed)
      throw cancelled({ operation: this.operation, subject: key }, "the daemon is shutting down");
    const controller = new AbortController();
    const result = this.work(key, controller.signal).then(
      (value) => {
        this.underWay.delete(key);
        this.failures.delete(key);
        return value;
      },
      (error: unknown) => {
        this.underWay.delete(key);
        if (!controller.signal.aborted) this.failed(key);
        throw error;
      },
    );
    // Whoever joined hears of it; a build that all have left has nobody to tell.
    result.catch(() => undefined);
    const build = { controller, result, waiting: 0, behind: false };
    this.underWay.set(key, build);
    return build;
  }

  private failed(key: string): void {
    const before = this.failures.get(key);
    const pauseMs = Math.min(before === undefined ? FIRST_PAUSE_MS : before.pauseMs * 2, LONGEST_PAUSE_MS);
    this.failures.set(key, { pauseMs, until: this.now() + pauseMs });
  }
}
