/**
 * The Cgroups port: a control group for each sandbox's VMM, in cgroup v2 or in every hierarchy of v1.
 *
 * The group is below CRI's cgroup_parent, so that kubelet's limits hold and containerd counts the VMM, or else below
 * `/blazar`. It is made without asking systemd, which leaves unknown groups alone. Must not remove anything but the directories
 * that it planned. What still runs in a sandbox's own group when that is removed is killed: a VMM that a keeper had started
 * just before its death, for example, whose pid nobody knows.
 */
import { existsSync } from "node:fs";
import { rmdir } from "node:fs/promises";
import { totalmem } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { BlazarError } from "../../contracts/errors.ts";
import type { CpuLimit } from "../../contracts/sandbox.ts";
import type { Cgroups, GroupLimits, OwnLimits } from "../../contracts/storage.ts";
import { checkId } from "../../lib/ids.ts";
import { oomScoreAdj } from "../../lib/oom-score.ts";
import { isAlive, processStat } from "../../lib/processes/processes.ts";
import { SIGKILL } from "../../lib/signals.ts";
import {
  hasCpuLimit,
  limitGroup,
  makeGroup,
  readMembers,
  readMemoryKills,
  readMemoryLimit,
  writeControl,
  writeCpuLimit,
} from "./control-files.ts";
import {
  expandParent,
  groupsOnTheWay,
  type Hierarchy,
  invalidGroup,
  OWN_GROUP,
  readHierarchies,
} from "./hierarchies.ts";
import { readUsage } from "./usage.ts";

export interface HostCgroupsOptions {
  /** A file like /proc/self/mountinfo. */
  readonly mountinfo?: string;
  /** Where sandboxes without a parent go. */
  readonly ownGroup?: string;
  readonly delay?: (milliseconds: number) => Promise<unknown>;
}

/** A group may stay busy for a while after its last process has been reaped. Milliseconds, 2 s in all. */
const BUSY_DELAYS = [5, 10, 20, 40, 80, 160, 320, 640, 725];
/** Whoever is in a group that is to go after so many of them stays in it by itself. */
const GRACE_DELAYS = 5;

/** Control groups of this host. */
export class HostCgroups implements Cgroups {
  private readonly mountinfo: string;
  private readonly ownGroup: string;
  private readonly delay: (milliseconds: number) => Promise<unknown>;
  private hierarchies: readonly Hierarchy[] | undefined;

  constructor(options: HostCgroupsOptions = {}) {
    this.mountinfo = options.mountinfo ?? "/proc/self/mountinfo";
    this.ownGroup = options.ownGroup ?? OWN_GROUP;
    this.delay = options.delay ?? sleep;
  }

  /** Lists what {@link make} will make, outer groups first. */
  async plan(
    sandboxId: string,
    parent: string,
  ): Promise<{ readonly directories: readonly string[]; readonly procs: readonly string[] }> {
    checkId(sandboxId, "plan the sandbox's control group");
    const group = parent === "" ? this.ownGroup : expandParent(parent);
    const directories: string[] = [];
    const procs: string[] = [];
    for (const { mountPoint } of this.mounted()) {
      const above = groupsOnTheWay(mountPoint, group);
      // Blazar's own group is removed with its last sandbox, whoever made it
      const ours = parent === "" ? above : above.filter((each) => !existsSync(each));
      const directory = path.join(mountPoint, group, sandboxId);
      directories.push(...ours, directory);
      procs.push(path.join(directory, "cgroup.procs"));
    }
    return { directories, procs };
  }

  memoryLimit(parent: string): number | undefined {
    const limits = this.memoryLimits(parent).flatMap((limit) => limit ?? []);
    return limits.length === 0 ? undefined : Math.min(...limits);
  }

  limitsOf(parent: string): OwnLimits {
    const cpu = this.groupsTo(parent, "cpu").at(-1);
    return {
      memory: this.memoryLimits(parent).at(-1) !== undefined,
      cpu: cpu !== undefined && hasCpuLimit(cpu.directory, cpu.hierarchy),
    };
  }

  /** Of all groups on the way to `parent`, its own last. */
  private memoryLimits(parent: string): readonly (number | undefined)[] {
    return this.groupsTo(parent, "memory").map(({ directory, hierarchy }) =>
      readMemoryLimit(directory, hierarchy),
    );
  }

  /** In the hierarchy that has the controller: all groups on the way to `parent`, its own last. */
  private groupsTo(
    parent: string,
    controller: string,
  ): readonly { directory: string; hierarchy: Hierarchy }[] {
    if (parent === "") return [];
    const hierarchy = this.mounted().find(
      ({ version, controllers }) => version === 2 || controllers.includes(controller),
    );
    if (hierarchy === undefined) return [];
    const directories = groupsOnTheWay(hierarchy.mountPoint, expandParent(parent));
    return directories.map((directory) => ({ directory, hierarchy }));
  }

  killedForMemory(directories: readonly string[]): string | undefined {
    for (const directory of directories) {
      const hierarchy = this.hierarchyOf(directory);
      if (readMemoryKills(directory, hierarchy) === 0) continue;
      const group = path.relative(hierarchy.mountPoint, directory);
      const limited = groupsOnTheWay(hierarchy.mountPoint, `/${group}`)
        .map((each) => ({ each, limit: readMemoryLimit(each, hierarchy) }))
        .filter(({ limit }) => limit !== undefined)
        .at(-1);
      if (limited === undefined) return `a process of /${group}, and the whole host was short of it`;
      const name = path.relative(hierarchy.mountPoint, limited.each);
      return `a process of /${group}; the limit of /${name} is ${limited.limit} bytes`;
    }
    return undefined;
  }

  async make(directories: readonly string[], limits?: GroupLimits): Promise<void> {
    await this.inEachHierarchy(directories, async (group, hierarchy) => {
      for (const directory of group) {
        try {
          await makeGroup(directory, hierarchy);
          // the last one is the sandbox's own
          if (limits !== undefined && directory === group.at(-1))
            await limitGroup(directory, hierarchy, limits);
        } catch (error) {
          const about = { operation: "make the control group", subject: directory };
          throw BlazarError.wrap(error, "HostResource", about);
        }
      }
    });
  }

  async enter(procs: readonly string[], pid: number, bytes = totalmem()): Promise<void> {
    await setOomScore(pid, oomScoreAdj(procs, bytes / totalmem()));
    await Promise.all(
      procs.map((file) =>
        writeControl(file, String(pid)).catch((error: unknown) => {
          const about = { operation: "move a process into its control group", subject: file };
          throw BlazarError.wrap(error, "HostResource", about);
        }),
      ),
    );
  }

  async limitCpu(directories: readonly string[], cpu: CpuLimit | undefined): Promise<void> {
    await this.inEachHierarchy(directories, async (group, hierarchy) => {
      if (hierarchy.version === 1 && !hierarchy.controllers.includes("cpu")) return;
      for (const directory of group) {
        try {
          await writeCpuLimit(directory, hierarchy, cpu);
        } catch (error) {
          const about = { operation: "limit the processor time of the control group", subject: directory };
          throw BlazarError.wrap(error, "HostResource", about);
        }
      }
    });
  }

  async usage(directories: readonly string[]): Promise<Readonly<Record<string, string>>> {
    const read = directories.map((directory) => readUsage(directory, this.hierarchyOf(directory)));
    return Object.assign({}, ...(await Promise.all(read))) as Record<string, string>;
  }

  async remove(directories: readonly string[]): Promise<void> {
    await this.inEachHierarchy(directories, async (group) => {
      for (const directory of [...group].reverse()) {
        const shared = group.some((other) => other.startsWith(`${directory}/`));
        await this.removeGroup(directory, shared);
      }
    });
  }

  /** Works on all hierarchies at once, in each one in order. When all have ended, the first failure is thrown. */
  private async inEachHierarchy(
    directories: readonly string[],
    work: (directories: readonly string[], hierarchy: Hierarchy) => Promise<void>,
  ): Promise<void> {
    const groups = new Map<Hierarchy, string[]>();
    for (const directory of directories) {
      const hierarchy = this.hierarchyOf(directory);
      groups.set(hierarchy, [...(groups.get(hierarchy) ?? []), directory]);
    }
    const ends = await Promise.allSettled([...groups].map(([hierarchy, group]) => work(group, hierarchy)));
    const failed = ends.find((end) => end.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  /** @param shared other sandboxes may use the group; if they do, it stays, and that is no failure */
  private async removeGroup(directory: string, shared: boolean): Promise<void> {
    for (const [attempt, delay] of [...BUSY_DELAYS, undefined].entries()) {
      if (attempt >= GRACE_DELAYS && !shared) await killMembers(directory);
      try {
        await rmdir(directory);
        return;
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code;
        if (code === "ENOENT" || shared) return;
        if ((code !== "EBUSY" && code !== "ENOTEMPTY") || delay === undefined) {
          const remedy = code === "EBUSY" ? `look for processes in ${directory}/cgroup.procs` : undefined;
          const about = { operation: "remove the control group", subject: directory, remedy };
          throw BlazarError.wrap(error, "HostResource", about);
        }
        await this.delay(delay);
      }
    }
  }

  /** The hierarchy that a directory is in. Throws for its root, and for any path outside. */
  private hierarchyOf(directory: string): Hierarchy {
    const found = this.mounted().find(({ mountPoint }) => directory.startsWith(`${mountPoint}/`));
    if (found === undefined || path.resolve(directory) !== directory)
      throw invalidGroup(directory, "it is not below a mounted cgroup hierarchy");
    return found;
  }

  private mounted(): readonly Hierarchy[] {
    this.hierarchies ??= readHierarchies(this.mountinfo);
    return this.hierarchies;
  }
}

/** Lowering it takes CAP_SYS_RESOURCE, which not every host grants: then it stays as it is. */
async function setOomScore(pid: number, score: number): Promise<void> {
  await writeControl(`/proc/${pid}/oom_score_adj`, String(score)).catch(() => undefined);
}

/** Whoever is in the group at two looks, with one start time. */
async function killMembers(directory: string): Promise<void> {
  const found = readMembers(directory);
  const started = await Promise.all(found.map((pid) => processStat(pid)));
  const still = new Set(readMembers(directory));
  for (const [index, pid] of found.entries()) {
    const startTime = started[index]?.startTime;
    if (startTime === undefined || !still.has(pid) || !(await isAlive({ pid, startTime }))) continue;
    try {
      process.kill(pid, SIGKILL);
    } catch {
      // it has ended in between
    }
  }
}
