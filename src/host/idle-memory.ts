/**
 * What the daemon gives back when it has become idle: the garbage of its heap, what malloc keeps of freed memory and,
 * once, the program text that only its start and its first pods needed.
 *
 * Called when the workers are about to end, which is when no container was made or removed for a while; a worker
 * makes the calls, the heap's pause (10 to 20 ms) is this thread's. Garbage is collected only where Node was started
 * with --expose-gc, as the unit does.
 */
import type { Logger } from "../contracts/logger.ts";
import type { RootfsTasks } from "../workers/rootfs.worker.ts";
import type { TaskRunner } from "./storage/worker-pool.ts";

export class IdleMemory {
  /** Only once: what comes back after it is what a daemon at work needs. */
  private startedUp = false;

  constructor(private readonly logger: Pick<Logger, "debug">) {}

  /** Gives back what can be spared now. */
  async giveBack(workers: TaskRunner<RootfsTasks>): Promise<void> {
    const before = process.memoryUsage.rss();
    const begin = performance.now();
    globalThis.gc?.();
    const pauseMs = Math.round(performance.now() - begin);
    const text = !this.startedUp;
    this.startedUp = true;
    await workers.run("giveBack", { text });
    this.logger.debug({ before, after: process.memoryUsage.rss(), pauseMs, text }, "idle: memory given back");
  }
}
