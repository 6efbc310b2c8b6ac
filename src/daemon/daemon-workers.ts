/**
 * The daemon's worker threads: for roots of containers, templates' memory, images of layers, and seccomp profiles.
 *
 * Threads start on demand. What only their start has needed is given back when they have become idle.
 */
import { join } from "node:path";
import type { Logger } from "../contracts/logger.ts";
import type { SeccompTasks } from "../host/seccomp/compiled-profiles.ts";
import { WorkerPool } from "../host/storage/worker-pool.ts";
import { within } from "../lib/async.ts";
import type { ImageTasks } from "../workers/image.worker.ts";
import type { MemoryTasks } from "../workers/memory.worker.ts";
import type { RootfsTasks } from "../workers/rootfs.worker.ts";
import type { Config } from "./config/schema.ts";
import { IdleMemory } from "./tuning/idle-memory.ts";

/** So long after the first container the text that only the start has needed is dropped. */
const START_IS_OVER_MS = 500;
/** Threads that wait for volumes' servers: two for a pod at most. */
const MOST_STUCK = 64;
/** What works has ended by then. */
const STUCK_MS = 1_000;
/** A template is made once, and so is an image. */
const MADE_IDLE_MS = 500;

export class DaemonWorkers {
  readonly rootfs: WorkerPool<RootfsTasks>;
  /** For volumes whose servers may not answer: each may hold a thread of its own for ever. */
  readonly remoteVolumes: WorkerPool<RootfsTasks>;
  readonly templateMemory: WorkerPool<MemoryTasks>;
  readonly images: WorkerPool<ImageTasks>;
  readonly seccomp: WorkerPool<SeccompTasks>;

  constructor(
    config: Config,
    private readonly logger: Logger,
  ) {
    const idleMemory = new IdleMemory(logger);
    this.rootfs = new WorkerPool<RootfsTasks>({
      file: bundle("rootfs"),
      maxThreads: config.storage.worker_threads,
      tasksPerThread: 2,
      keepOne: true,
      firstIdleMs: START_IS_OVER_MS,
      onIdle: (pool) => idleMemory.giveBack(pool),
    });
    this.remoteVolumes = new WorkerPool<RootfsTasks>({
      file: bundle("rootfs"),
      maxThreads: MOST_STUCK,
      idleTimeoutMs: MADE_IDLE_MS,
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
    this.seccomp = new WorkerPool<SeccompTasks>({
      file: bundle("seccomp"),
      maxThreads: 1,
      idleTimeoutMs: SECCOMP_IDLE_MS,
    });
  }

  /** What they have to do, by what they are for. */
  figures() {
    const { rootfs, remoteVolumes, templateMemory, images, seccomp } = this;
    const of = ({ tasks, started }: Pick<WorkerPool<never>, "tasks" | "started">) => ({ ...tasks, started });
    return {
      rootfs: of(rootfs),
      volume: of(remoteVolumes),
      template: of(templateMemory),
      image: of(images),
      seccomp: of(seccomp),
    };
  }

  async close(): Promise<void> {
    const pools = [this.rootfs, this.templateMemory, this.images, this.seccomp];
    const remote = this.remoteVolumes.close().then(() => true);
    const [ended] = await Promise.all([within(remote, STUCK_MS), ...pools.map((pool) => pool.close())]);
    if (ended === true) return;
    this.logger.warn(
      {},
      "a volume's server does not answer: the process is killed at its end, with the thread that waits",
    );
    // exit(3) would wait for that thread
    process.once("exit", () => process.kill(process.pid, "SIGKILL"));
  }
}

/** A profile is compiled once. */
const SECCOMP_IDLE_MS = 500;

/** Bundles of workers lie beside the program's (setup/lib/dist.ts). */
function bundle(name: string): string {
  return join(import.meta.dirname, "workers", `${name}.worker.mjs`);
}
