/**
 * What the daemon gives back when it has become idle: the garbage of its heaps, what malloc keeps of freed memory and
 * the program text that only its start, or the start of a worker thread, has touched.
 *
 * Idle means that no container was made or removed for a while. A worker makes the calls, the main heap's pause (20
 * to 40 ms) is this thread's. Garbage is collected only where Node was started with --expose-gc, as the unit does.
 */
import type { Logger } from "../contracts/logger.ts";
import type { RootfsTasks } from "../workers/rootfs.worker.ts";
import type { TaskRunner } from "./storage/worker-pool.ts";

export class IdleMemory {
  constructor(private readonly logger: Pick<Logger, "debug">) {}

  /**
   * Gives back what can be spared now.
   * @param threadsStarted whether there were any since the last time. Only then text is dropped: else a daemon would
   * read again and again what it needs
   */
  async giveBack(workers: TaskRunner<RootfsTasks>, threadsStarted: boolean): Promise<void> {
    const before = process.memoryUsage.rss();
    const begin = performance.now();
    globalThis.gc?.();
    const pauseMs = Math.round(performance.now() - begin);
    await workers.run("giveBack", { text: threadsStarted });
    this.logger.debug(
      { before, after: process.memoryUsage.rss(), pauseMs, text: threadsStarted },
      "idle: memory given back",
    );
  }
}
