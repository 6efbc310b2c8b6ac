/**
 * The NodeView port: /proc, mountinfo, control groups, named network namespaces and directories of this host.
 *
 * proc_pid_fd(5), proc_pid_mountinfo(5), cgroups(7), network_namespaces(7). Everything is asked beside the main loop. A network
 * namespace that was looked into and had nothing of ours is not entered again.
 */
import { lstat, readdir, readFile, readlink, realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import type { EmptyGroup, NodeView, OwnProcess, PlacedName } from "../contracts/node-view.ts";
import { processStat } from "../lib/processes/processes.ts";
import { mountPointsBelow } from "../workers/mounts/mountinfo.ts";
import type { NetworkTasks } from "../workers/network/tasks.ts";
import { type Hierarchy, readHierarchies } from "./cgroups/hierarchies.ts";
import type { TaskRunner } from "./storage/worker-pool.ts";

export interface HostNodeViewOptions {
  readonly workers: TaskRunner<Pick<NetworkTasks, "hasDeadJoint">>;
  /** The users of VMMs, and of what serves them. */
  readonly users: { readonly firstUid: number; readonly count: number };
  /** Where the groups of this daemon's sandboxes without a parent are. */
  readonly ownGroup: string;
  /** Where network namespaces have names: ip-netns(8). */
  readonly namespaces?: string;
  readonly proc?: string;
  readonly mountinfo?: string;
}

const NAMESPACES = "/run/netns";
/** A process comes and goes while its ancestors are looked up. */
const MOST_ANCESTORS = 64;
/** What the kernel adds to the path of a file that was removed. */
const DELETED = / \(deleted\)$/;

export class HostNodeView implements NodeView {
  /** Network namespaces that have nothing of ours, by path: their device and inode. */
  private clean = new Map<string, string>();

  constructor(private readonly options: HostNodeViewOptions) {}

  async names(directory: string): Promise<PlacedName[]> {
    const names = (await readdir(directory).catch(unlessGone)) ?? [];
    const found = names.map(async (name) => {
      const stats = await lstat(join(directory, name)).catch(unlessGone);
      if (stats === undefined) return [];
      const { uid, ctimeMs: changedAt } = stats;
      return [{ name, isDirectory: stats.isDirectory(), isFile: stats.isFile(), uid, changedAt }];
    });
    return (await Promise.all(found)).flat();
  }

  async mounts(directory: string): Promise<string[]> {
    const real = await realpath(directory).catch(unlessGone);
    if (real === undefined) return [];
    const points = mountPointsBelow(await readFile("/proc/self/mountinfo", "utf8"), real);
    // as everybody else calls them
    return points.map((point) => directory + point.slice(real.length));
  }

  async emptyGroups(): Promise<EmptyGroup[]> {
    const groups = new Map<string, { directories: string[]; isEmpty: boolean }>();
    for (const { mountPoint } of this.hierarchies()) {
      const parent = join(mountPoint, this.options.ownGroup);
      for (const { name, isDirectory } of await this.names(parent)) {
        if (!isDirectory) continue;
        const group = groups.get(name) ?? { directories: [], isEmpty: true };
        const directory = join(parent, name);
        group.directories.push(directory);
        group.isEmpty &&= await isEmptyGroup(directory);
        groups.set(name, group);
      }
    }
    return [...groups].flatMap(([name, { directories, isEmpty }]) =>
      isEmpty ? [{ name, directories }] : [],
    );
  }

  async processes(directories: readonly string[]): Promise<OwnProcess[]> {
    const { firstUid, count } = this.options.users;
    const proc = this.options.proc ?? "/proc";
    const places = await Promise.all(
      directories.map(async (given) => ({ given, real: await realpath(given).catch(() => given) })),
    );
    const pids = (await readdir(proc)).filter((name) => /^\d+$/.test(name));
    const found: OwnProcess[] = [];
    for (const pid of pids) {
      const owner = await stat(join(proc, pid)).catch(() => undefined);
      if (owner === undefined || owner.uid < firstUid || owner.uid >= firstUid + count) continue;
      const process = await this.processBelow(proc, Number(pid), places);
      if (process !== undefined) found.push(process);
    }
    return found;
  }

  async deadJoints(known: (path: string) => boolean): Promise<string[]> {
    const directory = this.options.namespaces ?? NAMESPACES;
    const clean = new Map<string, string>();
    const dead: string[] = [];
    for (const { name } of await this.names(directory)) {
      const path = join(directory, name);
      if (known(path)) continue;
      const identity = await stat(path).catch(unlessGone);
      if (identity === undefined) continue;
      const key = `${identity.dev}:${identity.ino}`;
      if (this.clean.get(path) !== key && (await this.options.workers.run("hasDeadJoint", { path })))
        dead.push(path);
      else clean.set(path, key);
    }
    this.clean = clean;
    return dead;
  }

  private hierarchies(): readonly Hierarchy[] {
    return readHierarchies(this.options.mountinfo ?? "/proc/self/mountinfo");
  }

  /** Undefined: it has nothing open there, or has ended. */
  private async processBelow(
    proc: string,
    pid: number,
    places: readonly { readonly given: string; readonly real: string }[],
  ): Promise<OwnProcess | undefined> {
    const descriptors = join(proc, String(pid), "fd");
    const numbers = await readdir(descriptors).catch(() => []);
    const targets = numbers.map((number) => readlink(join(descriptors, number)).catch(() => ""));
    const files = (await Promise.all(targets))
      .map((target) => target.replace(DELETED, ""))
      .flatMap((target) => {
        const place = places.find(({ real }) => target.startsWith(`${real}/`));
        return place === undefined ? [] : [place.given + target.slice(place.real.length)];
      });
    const stat = await processStat(pid);
    if (files.length === 0 || stat === undefined) return undefined;
    return { pid, startTime: stat.startTime, ancestors: await ancestorsOf(stat.parent), files };
  }
}

async function ancestorsOf(parent: number): Promise<number[]> {
  const ancestors: number[] = [];
  for (let pid = parent; pid > 0 && ancestors.length < MOST_ANCESTORS; ) {
    ancestors.push(pid);
    pid = (await processStat(pid))?.parent ?? 0;
  }
  return ancestors;
}

/** Its processes and those of groups below, of which an empty one has none. */
async function isEmptyGroup(directory: string): Promise<boolean> {
  const processes = await readFile(join(directory, "cgroup.procs"), "utf8").catch(unlessGone);
  if (processes === undefined || processes.trim() !== "") return processes === undefined;
  return !(await readdir(directory, { withFileTypes: true })).some((entry) => entry.isDirectory());
}

function unlessGone(error: unknown): undefined {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== "ENOENT" && code !== "ENOTDIR") throw error;
}
