/**
 * Gives memory back to the kernel when the daemon is idle: when no container was made or removed for a while.
 *
 * It gives back the garbage of the heaps, the freed memory that malloc keeps, and program text that only a start has
 * used. A worker makes the system calls. Collecting the main heap pauses this thread for 20 to 40 ms, for twice as
 * long with compaction. It needs Node's option --expose-gc, which the unit sets.
 */
import { setFlagsFromString } from "node:v8";
import type { Logger } from "../../contracts/logger.ts";
import type { IdlePool } from "../../host/storage/worker-pool.ts";
import type { RootfsTasks } from "../../workers/rootfs.worker.ts";

/** If a larger share of the heap is free after a collection, live objects are scattered: moving them together pays. */
const SPARSE = 1 / 6;
/** Moving a larger heap would take too long. */
const COMPACTED_BYTES = 64 * 2 ** 20;

/** A heap, in bytes; see process.memoryUsage. */
interface HeapUsage {
  readonly heapTotal: number;
  readonly heapUsed: number;
}

/** Whether a heap, just collected, should be compacted. */
export function isSparse({ heapTotal, heapUsed }: HeapUsage): boolean {
  return heapTotal <= COMPACTED_BYTES && heapTotal - heapUsed > heapTotal * SPARSE;
}

/** Collects this thread's garbage. Returns whether it compacted; by itself V8 only empties pages that are a fifth free. */
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
  /** So many threads of the pool had started when text was last dropped. */
  private startsCleanedUp = 0;

  constructor(private readonly logger: Pick<Logger, "debug">) {}

  /**
   * Gives back what can be spared now.
   *
   * Text is dropped only if a thread has started since the last time. Otherwise the daemon would read the text that pods
   * need again and again. The worker that drops it may have started for that; its own start does not count next time.
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
