/**
 * A pod's control group as kubelet makes it: a memory limit of what its containers may use and the overhead, in cgroup v2
 * or in the hierarchies of v1. It has no process of its own; sandboxers and runtimes make theirs below it.
 */
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";

const ROOT = "/sys/fs/cgroup";

export class PodCgroup {
  private constructor(
    /** What CRI's cgroup_parent takes. */
    readonly path: string,
    private readonly memory: string,
    private readonly version: 1 | 2,
  ) {}

  /** @param name unique on the host, without a slash */
  static async make(name: string, memoryBytes: number): Promise<PodCgroup> {
    const version = existsSync(join(ROOT, "cgroup.controllers")) ? 2 : 1;
    const directory = join(version === 2 ? ROOT : join(ROOT, "memory"), name);
    await mkdir(directory, { recursive: true });
    const file = version === 2 ? "memory.max" : "memory.limit_in_bytes";
    await writeFile(join(directory, file), String(memoryBytes));
    if (version === 2)
      await writeFile(join(ROOT, "cgroup.subtree_control"), "+memory").catch(() => undefined);
    return new PodCgroup(`/${name}`, directory, version);
  }

  /** Limits its processor time, in microseconds of each 100,000, as kubelet does for a pod of which all containers are limited. */
  async limitCpu(quota: number): Promise<void> {
    if (this.version === 2) {
      await writeFile(join(ROOT, "cgroup.subtree_control"), "+cpu").catch(() => undefined);
      return await writeFile(join(this.memory, "cpu.max"), String(quota));
    }
    const directory = join(ROOT, "cpu", this.path);
    await mkdir(directory, { recursive: true });
    await writeFile(join(directory, "cpu.cfs_quota_us"), String(quota));
  }

  /** Raises or lowers the limit, as kubelet does. */
  async limit(memoryBytes: number): Promise<void> {
    const file = this.version === 2 ? "memory.max" : "memory.limit_in_bytes";
    await writeFile(join(this.memory, file), String(memoryBytes));
  }

  /** How many processes the host's kernel has killed in it for want of memory. */
  async kills(): Promise<number> {
    const file = this.version === 2 ? "memory.events" : "memory.oom_control";
    let sum = 0;
    for (const directory of [this.memory, ...(await below(this.memory))]) {
      const text = await readFile(join(directory, file), "utf8").catch(() => "");
      sum += Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0);
      // v2 counts what is below as well
      if (this.version === 2) break;
    }
    return sum;
  }

  /** Bytes in use now. */
  async usage(): Promise<number> {
    const file = this.version === 2 ? "memory.current" : "memory.usage_in_bytes";
    return Number(await readFile(join(this.memory, file), "utf8"));
  }

  /** Bytes in use now, but for the host's cache of files. */
  async held(): Promise<number> {
    const text = await readFile(join(this.memory, "memory.stat"), "utf8");
    const fields = this.version === 2 ? ["anon", "shmem"] : ["total_rss", "total_shmem"];
    const bytes = (field: string) => Number(new RegExp(`^${field} (\\d+)$`, "m").exec(text)?.[1]);
    return fields.reduce((sum, field) => sum + bytes(field), 0);
  }

  /** Removes it, in every hierarchy that has it. The pod is gone by then. */
  async remove(): Promise<void> {
    const hierarchies = this.version === 2 ? [ROOT] : (await readdir(ROOT)).map((each) => join(ROOT, each));
    for (const hierarchy of hierarchies)
      await rmdir(join(hierarchy, this.path)).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== "ENOENT" && error.code !== "ENOTDIR") throw error;
      });
  }
}

async function below(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { withFileTypes: true });
  const directories = entries.filter((each) => each.isDirectory()).map(({ name }) => join(directory, name));
  return (await Promise.all(directories.map(async (each) => [each, ...(await below(each))]))).flat();
}
