/**
 * Making one control group, and writing its control files: cgroup-v1/cpusets.rst, cgroup-v2.rst of the kernel.
 *
 * Looking, opening and reading are answered from the kernel's memory within microseconds, so they are synchronous.
 * mkdir and write may wait for locks and grace periods of the kernel, so a thread does them. Must not move or kill a
 * process by itself.
 */
import { closeSync, existsSync, openSync, readFileSync, write } from "node:fs";
import { mkdir } from "node:fs/promises";
import path from "node:path";
import type { CpuLimit } from "../../contracts/sandbox.ts";
import type { GroupLimits } from "../../contracts/storage.ts";
import { makeDirectories } from "../../lib/directories.ts";
import type { Hierarchy } from "./hierarchies.ts";

/** What a group of v2 hands down to a sandbox's group. */
const DELEGATED = ["cpu", "memory", "pids", "io", "cpuset"];

/** Makes a group that can take a VMM. It may exist already. */
export async function makeGroup(directory: string, { version, controllers }: Hierarchy): Promise<void> {
  await makeDirectory(directory);
  if (version === 2) await delegateControllers(path.dirname(directory));
  if (controllers.includes("cpuset")) await inheritCpuset(directory);
}

async function makeDirectory(directory: string): Promise<void> {
  if (existsSync(directory)) return;
  try {
    await mkdir(directory);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "EEXIST") return;
    if (code !== "ENOENT") throw error;
    // the last sandbox of the group above may have removed that group just now
    await makeDirectories(directory);
  }
}

/** In v2 a group has the controllers that its parent hands down. The parents of kubelet's groups do so already. */
async function delegateControllers(parent: string): Promise<void> {
  const file = path.join(parent, "cgroup.subtree_control");
  const available = readWords(path.join(parent, "cgroup.controllers"));
  const enabled = readWords(file);
  for (const controller of DELEGATED) {
    if (!available.includes(controller) || enabled.includes(controller)) continue;
    // EBUSY: the parent has processes of its own; the VMM is then counted, but not limited by this controller
    await writeControl(file, `+${controller}`).catch(() => undefined);
  }
}

/** In v1 a new group has no CPUs and no memory nodes. It takes no process until it has. */
async function inheritCpuset(directory: string): Promise<void> {
  for (const name of ["cpuset.cpus", "cpuset.mems"]) {
    const file = path.join(directory, name);
    if (readFileSync(file, "utf8").trim() !== "") continue;
    await writeControl(file, readFileSync(path.join(path.dirname(directory), name), "utf8"));
  }
}

/** Limits of one group, in a hierarchy that has the controllers. */
export async function limitGroup(
  directory: string,
  { version, controllers }: Hierarchy,
  { memoryBytes, tasks }: GroupLimits,
): Promise<void> {
  const has = (controller: string): boolean => version === 2 || controllers.includes(controller);
  const limits = [
    ...(has("memory")
      ? [[version === 2 ? "memory.max" : "memory.limit_in_bytes", Math.ceil(memoryBytes)]]
      : []),
    ...(has("pids") ? [["pids.max", tasks]] : []),
  ] as const;
  for (const [name, value] of limits) {
    const file = path.join(directory, String(name));
    // in v2 it is not there unless the group above hands the controller down
    if (existsSync(file)) await writeControl(file, String(value));
  }
}

/** In v1, no limit is a number close to the largest. */
const V1_UNLIMITED = 2 ** 62;

/** Bytes of memory that the group itself may have; undefined = no limit, or no such group. */
export function readMemoryLimit(directory: string, { version }: Hierarchy): number | undefined {
  const file = path.join(directory, version === 2 ? "memory.max" : "memory.limit_in_bytes");
  const [word = ""] = readWords(file);
  const bytes = Number(word);
  return word === "" || !Number.isFinite(bytes) || bytes >= V1_UNLIMITED ? undefined : bytes;
}

/** What v2 and v1 have where there is no quota. */
const NO_QUOTA = { 1: "-1", 2: "max" } as const;
const DEFAULT_PERIOD = 100_000;

/** Whether the group itself has a quota of processor time. */
export function hasCpuLimit(directory: string, { version }: Hierarchy): boolean {
  const [quota = ""] = readWords(path.join(directory, version === 2 ? "cpu.max" : "cpu.cfs_quota_us"));
  return Number(quota) > 0;
}

/**
 * Writes the group's quota of processor time; undefined = none. In v1 a group's quota may not be above its parent's, and the
 * kernel refuses to lower a parent below its groups: there a group whose parent has a quota gets none of its own.
 */
export async function writeCpuLimit(
  directory: string,
  { version }: Hierarchy,
  cpu: CpuLimit | undefined,
): Promise<void> {
  const { quota, period } = cpu ?? { quota: undefined, period: DEFAULT_PERIOD };
  const allowed = quota === undefined ? NO_QUOTA[version] : String(quota);
  if (version === 2) {
    const file = path.join(directory, "cpu.max");
    // the parent does not hand the controller down: then nothing is limited, and there is nothing to take away
    if (cpu === undefined && !existsSync(file)) return;
    return await writeControl(file, `${allowed} ${period}`);
  }
  const file = path.join(directory, "cpu.cfs_quota_us");
  const [above = ""] = readWords(path.join(path.dirname(directory), "cpu.cfs_quota_us"));
  if (Number(above) > 0) return await writeControl(file, NO_QUOTA[1]);
  // the quota of an earlier period must not be in the way
  await writeControl(file, NO_QUOTA[1]);
  await writeControl(path.join(directory, "cpu.cfs_period_us"), String(period));
  await writeControl(file, allowed);
}

/** How often the kernel has killed a process of the group itself for want of memory. */
export function readMemoryKills(directory: string, { version }: Hierarchy): number {
  const words = readWords(path.join(directory, version === 2 ? "memory.events" : "memory.oom_control"));
  const at = words.indexOf("oom_kill");
  return at < 0 ? 0 : Number(words[at + 1] ?? 0);
}

function readWords(file: string): string[] {
  return existsSync(file) ? readFileSync(file, "utf8").split(/\s+/) : [];
}

/**
 * Writes a control file. Not by `writeFile`, which makes three trips to a thread: a start writes in each of the eight
 * hierarchies of v1.
 */
export function writeControl(file: string, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const fd = openSync(file, "w");
    write(fd, text, (error) => {
      closeSync(fd);
      if (error === null) resolve();
      else reject(error);
    });
  });
}

/** Pids of the processes in a group; none if it is gone. */
export function readMembers(directory: string): readonly number[] {
  try {
    const lines = readFileSync(path.join(directory, "cgroup.procs"), "utf8").split("\n");
    return lines.flatMap((line) => (/^[1-9][0-9]*$/.test(line) ? [Number(line)] : []));
  } catch {
    return [];
  }
}
