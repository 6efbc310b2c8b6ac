/**
 * What the daemon gives back when it has become idle: the garbage of its heaps, what malloc keeps of freed memory and
 * the program text that only its start, or the start of a worker thread, has touched.
 *
 * Idle means that no container was made or removed for a while. A worker makes the calls, the main heap's pause (20
 * to 40 ms, twice that with compaction) is this thread's. Garbage is collected only where Node was started with
 * --expose-gc, as the unit does.
 */
import { setFlagsFromString } from "node:v8";
import type { Logger } from "../../contracts/logger.ts";
import type { IdlePool } from "../../host/storage/worker-pool.ts";
import type { RootfsTasks } from "../../workers/rootfs.worker.ts";

/** More of the heap than this is free after a collection: live objects lie scattered, and are worth being moved together. */
const SPARSE = 1 / 6;
/** Moving more than this would take too long. */
const COMPACTED_BYTES = 64 * 2 ** 20;

/** What is known of a heap, in bytes; see process.memoryUsage. */
interface HeapUsage {
  readonly heapTotal: number;
  readonly heapUsed: number;
}

/** Whether a heap, just collected, should be compacted. */
export function isSparse({ heapTotal, heapUsed }: HeapUsage): boolean {
  return heapTotal <= COMPACTED_BYTES && heapTotal - heapUsed > heapTotal * SPARSE;
}

/** Collects this thread's garbage; V8 by itself only empties pages that are a fifth free. Returns whether it compacted. */
function collect(gc: () => void): boolean {
  gc();
  if (!isSparse(process.memoryUsage())) return false;
  setFlagsFromString("--compact-on-every-full-gc");
  try {
    gc();
  } finally {
    setFlagsFromString("--no-compact-on-every-full-gc");
  }
  return true;
}

export class IdleMemory {
  /** Threads of the pool whose start has touched no text that is still there. */
  private startsCleanedUp = 0;

  constructor(private readonly logger: Pick<Logger, "debug">) {}

  /**
   * Gives back what can be spared now.
   *
   * Text is dropped only after the start of a thread: else a daemon would read again and again what pods need. The thread
   * that does it is one of those, so its own start does not count the next time.
   * @param since whether a thread has ended that is not one of these workers
   */
  async giveBack(
    workers: IdlePool<RootfsTasks>,
    since: { readonly threadEnded?: boolean } = {},
  ): Promise<void> {
    const text = since.threadEnded === true || workers.started > this.startsCleanedUp;
    const before = process.memoryUsage.rss();
    const begin = performance.now();
    const compacted = globalThis.gc !== undefined && collect(globalThis.gc);
    const pauseMs = Math.round(performance.now() - begin);
    await workers.run("giveBack", { text });
    if (text) this.startsCleanedUp = workers.started;
    this.logger.debug(
      { before, after: process.memoryUsage.rss(), pauseMs, compacted, text },
      "idle: memory given back",
    );
  }
}
