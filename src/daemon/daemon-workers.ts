/**
 * The daemon's worker threads: for roots of containers, for templates' memory, and for images of layers.
 *
 * Threads start on demand. What only their start has needed is given back when they have become idle.
 */
import { join } from "node:path";
import type { Logger } from "../contracts/logger.ts";
import { WorkerPool } from "../host/storage/worker-pool.ts";
import type { ImageTasks } from "../workers/image.worker.ts";
import type { MemoryTasks } from "../workers/memory.worker.ts";
import type { RootfsTasks } from "../workers/rootfs.worker.ts";
import type { Config } from "./config/schema.ts";
import { IdleMemory } from "./tuning/idle-memory.ts";

/** So long after the first container the text that only the start has needed is dropped. */
const START_IS_OVER_MS = 500;
/** A template is made once, and so is an image. */
const MADE_IDLE_MS = 500;

export class DaemonWorkers {
  readonly rootfs: WorkerPool<RootfsTasks>;
  readonly templateMemory: WorkerPool<MemoryTasks>;
  readonly images: WorkerPool<ImageTasks>;

  constructor(config: Config, logger: Logger) {
    const idleMemory = new IdleMemory(logger);
    this.rootfs = new WorkerPool<RootfsTasks>({
      file: bundle("rootfs"),
      maxThreads: config.storage.worker_threads,
      keepOne: true,
      firstIdleMs: START_IS_OVER_MS,
      onIdle: (pool) => idleMemory.giveBack(pool),
    });
    this.templateMemory = new WorkerPool<MemoryTasks>({
      file: bundle("memory"),
      maxThreads: 1,
      idleTimeoutMs: MADE_IDLE_MS,
      onIdle: () => idleMemory.giveBack(this.rootfs, { threadEnded: true }),
    });
    this.images = new WorkerPool<ImageTasks>({
      file: bundle("image"),
      maxThreads: 1,
      idleTimeoutMs: MADE_IDLE_MS,
      onIdle: () => idleMemory.giveBack(this.rootfs, { threadEnded: true }),
    });
  }

  async close(): Promise<void> {
    await Promise.all([this.rootfs.close(), this.templateMemory.close(), this.images.close()]);
  }
}

/** Bundles of workers lie beside the program's (setup/lib/dist.ts). */
function bundle(name: string): string {
  return join(import.meta.dirname, "workers", `${name}.worker.mjs`);
}
