/**
 * Files in memory that nobody can write to, made by a worker and held by this process.
 *
 * Another process opens one by its path below this process's /proc entry, as long as it is held.
 */
import { closeSync } from "node:fs";
import type { MemoryTasks } from "../../workers/memory.worker.ts";
import type { TaskRunner } from "../storage/worker-pool.ts";

/** A sealed copy of a file. */
export interface SealedFile {
  readonly path: string;
  /** Lets go of it; who has opened it keeps it. */
  close(): Promise<void>;
}

/** Copies a file into memory and seals the copy. Throws HostResource. */
export async function sealMemory(workers: TaskRunner<MemoryTasks>, file: string): Promise<SealedFile> {
  const { fd } = await workers.run("sealMemory", { file });
  let open = true;
  return {
    path: `/proc/${process.pid}/fd/${fd}`,
    close: async () => {
      if (open) closeSync(fd);
      open = false;
    },
  };
}
