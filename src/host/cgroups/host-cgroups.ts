/**
 * The Cgroups port: a control group for each sandbox's VMM, in cgroup v2 or in every hierarchy of v1 (kernel:
 * admin-guide/cgroup-v2.rst, cgroup-v1/cgroups.rst).
 *
 * Below CRI's cgroup_parent, so that kubelet's limits hold and containerd counts the VMM, else below `/blazar`. What
 * is mounted where comes from mountinfo. A systemd parent (`a-b.slice`) is read as the path that systemd gives it,
 * and the group is made in there without asking systemd, which leaves unknown groups alone. Must not move or kill
 * a process, and must not remove anything but the directories that it planned.
 */
import { closeSync, existsSync, openSync, readFileSync, write } from "node:fs";
import { mkdir, readFile, rmdir } from "node:fs/promises";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { BlazarError, blazarError } from "../../contracts/errors.ts";
import type { Cgroups } from "../../contracts/storage.ts";
import { parseMountinfo } from "../../workers/mountinfo.ts";

/** A mounted hierarchy. */
interface Hierarchy {
  readonly mountPoint: string;
  readonly version: 1 | 2;
  readonly controllers: readonly string[];
}

export interface HostCgroupsOptions {
  /** A file like /proc/self/mountinfo. */
  readonly mountinfo?: string;
  /** Blazar's own group, for sandboxes without a parent. */
  readonly ownGroup?: string;
  readonly delay?: (milliseconds: number) => Promise<unknown>;
}

const DELEGATED = ["cpu", "memory", "pids", "io", "cpuset"];
const SANDBOX_ID = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/;
/** How long a group may stay busy after its last process has been reaped: 2 s in all. */
const BUSY_DELAYS = [5, 10, 20, 40, 80, 160, 320, 640, 725];

/** Control groups of this host. */
export class HostCgroups implements Cgroups {
  private readonly mountinfo: string;
  private readonly ownGroup: string;
  private readonly delay: (milliseconds: number) => Promise<unknown>;
  private hierarchies: Promise<readonly Hierarchy[]> | undefined;

  constructor(options: HostCgroupsOptions = {}) {
    this.mountinfo = options.mountinfo ?? "/proc/self/mountinfo";
    this.ownGroup = options.ownGroup ?? "/blazar";
    this.delay = options.delay ?? sleep;
  }

  /** Lists what {@link make} will make, outer groups first. */
  async plan(
    sandboxId: string,
    parent: string,
  ): Promise<{ readonly directories: readonly string[]; readonly procs: readonly string[] }> {
    if (!SANDBOX_ID.test(sandboxId)) throw invalid(sandboxId, "a sandbox's id names a directory");
    const group = parent === "" ? this.ownGroup : expandParent(parent);
    const directories: string[] = [];
    const procs: string[] = [];
    for (const { mountPoint } of await this.mounted()) {
      const above = ancestors(mountPoint, group);
      // our own group goes with its last sandbox, whoever made it
      const ours = parent === "" ? above : above.filter((each) => !existsSync(each));
      const directory = path.join(mountPoint, group, sandboxId);
      directories.push(...ours, directory);
      procs.push(path.join(directory, "cgroup.procs"));
    }
    return { directories, procs };
  }

  async make(directories: readonly string[]): Promise<void> {
    await this.inEachHierarchy(directories, async (group, hierarchy) => {
      for (const directory of group) {
        try {
          await makeGroup(directory, hierarchy);
        } catch (error) {
          const details = { operation: "make the control group", subject: directory };
          throw BlazarError.wrap(error, "HostResource", details);
        }
      }
    });
  }

  async enter(procs: readonly string[], pid: number): Promise<void> {
    await Promise.all(
      procs.map((file) =>
        writeControl(file, String(pid)).catch((error: unknown) => {
          throw BlazarError.wrap(error, "HostResource", {
            operation: "move a process into its control group",
            subject: file,
          });
        }),
      ),
    );
  }

  async remove(directories: readonly string[]): Promise<void> {
    await this.inEachHierarchy(directories, async (group) => {
      for (const directory of [...group].reverse()) {
        const shared = group.some((other) => other.startsWith(`${directory}/`));
        await this.removeGroup(directory, shared);
      }
    });
  }

  /** Works on all hierarchies at once, on each in order; the first failure is reported when all have ended. */
  private async inEachHierarchy(
    directories: readonly string[],
    work: (directories: readonly string[], hierarchy: Hierarchy) => Promise<void>,
  ): Promise<void> {
    const groups = new Map<Hierarchy, string[]>();
    for (const directory of directories) {
      const hierarchy = await this.hierarchyOf(directory);
      groups.set(hierarchy, [...(groups.get(hierarchy) ?? []), directory]);
    }
    const ends = await Promise.allSettled([...groups].map(([hierarchy, group]) => work(group, hierarchy)));
    const failed = ends.find((end) => end.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  /** @param shared other sandboxes may be in it: then it stays, and that is no failure */
  private async removeGroup(directory: string, shared: boolean): Promise<void> {
    for (const delay of [...BUSY_DELAYS, undefined]) {
      try {
        await rmdir(directory);
        return;
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code;
        if (code === "ENOENT" || shared) return;
        if ((code !== "EBUSY" && code !== "ENOTEMPTY") || delay === undefined) {
          throw BlazarError.wrap(error, "HostResource", {
            operation: "remove the control group",
            subject: directory,
            remedy: code === "EBUSY" ? `look for processes in ${directory}/cgroup.procs` : undefined,
          });
        }
        await this.delay(delay);
      }
    }
  }

  /** The hierarchy that a directory is in, never at its root. Throws for any other path. */
  private async hierarchyOf(directory: string): Promise<Hierarchy> {
    const hierarchies = await this.mounted();
    const found = hierarchies.find(({ mountPoint }) => directory.startsWith(`${mountPoint}/`));
    if (found === undefined || path.resolve(directory) !== directory)
      throw invalid(directory, "it is not below a mounted cgroup hierarchy");
    return found;
  }

  private mounted(): Promise<readonly Hierarchy[]> {
    this.hierarchies ??= readHierarchies(this.mountinfo);
    return this.hierarchies;
  }
}

/** The v1 hierarchies if there are any with controllers, else v2. Named ones (systemd's) are not ours to use. */
async function readHierarchies(file: string): Promise<readonly Hierarchy[]> {
  const entries = parseMountinfo(await readFile(file, "utf8"));
  const legacy = new Map<string, Hierarchy>();
  for (const { mountPoint, type, superOptions } of entries) {
    if (type !== "cgroup") continue;
    const controllers = superOptions.filter((option) => /^[a-z_]+$/.test(option) && !FLAGS.has(option));
    const key = controllers.join(",");
    // a hierarchy may be mounted again elsewhere; the first is the system's
    if (controllers.length > 0 && !legacy.has(key)) legacy.set(key, { mountPoint, version: 1, controllers });
  }
  if (legacy.size > 0) return [...legacy.values()];
  const unified = entries.find(({ type }) => type === "cgroup2");
  if (unified === undefined) {
    throw blazarError("DependencyMissing", "find the control groups", "neither cgroup v1 nor v2 is mounted", {
      subject: file,
      remedy: "mount cgroup2 at /sys/fs/cgroup",
    });
  }
  return [{ mountPoint: unified.mountPoint, version: 2, controllers: [] }];
}

const FLAGS = new Set(["rw", "ro", "xattr", "noprefix", "clone_children", "favordynmods", "none"]);

async function makeGroup(directory: string, { version, controllers }: Hierarchy): Promise<void> {
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
    // the group above may be removed by the last sandbox in it, just now
    await mkdir(directory, { recursive: true });
  }
}

/** A group of v2 has the controllers that the group above hands down; those above kubelet's groups do already. */
async function delegateControllers(parent: string): Promise<void> {
  const file = path.join(parent, "cgroup.subtree_control");
  const available = readWords(path.join(parent, "cgroup.controllers"));
  const enabled = readWords(file);
  for (const controller of DELEGATED) {
    if (!available.includes(controller) || enabled.includes(controller)) continue;
    // EBUSY: the group above has processes of its own; the VMM is then counted but not limited by this controller
    await writeControl(file, `+${controller}`).catch(() => undefined);
  }
}

/** In v1 a new group has no CPUs and no memory nodes, and takes no process until it does. */
async function inheritCpuset(directory: string): Promise<void> {
  for (const name of ["cpuset.cpus", "cpuset.mems"]) {
    const file = path.join(directory, name);
    if (readFileSync(file, "utf8").trim() !== "") continue;
    await writeControl(file, readFileSync(path.join(path.dirname(directory), name), "utf8"));
  }
}

function readWords(file: string): string[] {
  return existsSync(file) ? readFileSync(file, "utf8").split(/\s+/) : [];
}

/**
 * Writes a control file. Looking, opening and reading answer from the kernel's memory within microseconds and are done at
 * once; what is written (and mkdir) may wait for locks and grace periods of the kernel, and goes to a thread. By the
 * file's number: `writeFile` makes three trips to a thread of it, for eight hierarchies of v1 in each start.
 */
function writeControl(file: string, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const fd = openSync(file, "w");
    write(fd, text, (error) => {
      closeSync(fd);
      if (error === null) resolve();
      else reject(error);
    });
  });
}

/** The directories from below the hierarchy's root to `group` itself. */
function ancestors(mountPoint: string, group: string): string[] {
  const names = group.split("/").filter((name) => name !== "");
  return names.map((_, index) => path.join(mountPoint, ...names.slice(0, index + 1)));
}

/** `a-b.slice` → `/a.slice/a-b.slice` (systemd.slice(5)); anything else is a path already. */
export function expandParent(parent: string): string {
  const names = parent.split("/").filter((name) => name !== "");
  if (names.length === 0) throw invalid(parent, "the root of the hierarchies takes no sandboxes");
  for (const name of names) {
    if (name === "." || name === ".." || /[\0\n]/.test(name) || name.length > 255)
      throw invalid(parent, `"${name}" does not belong in a control group's path`);
    if (name.startsWith("cgroup.")) throw invalid(parent, `"${name}" is a name of the kernel's`);
  }
  const [only = ""] = names;
  if (names.length > 1 || !only.endsWith(".slice")) return `/${names.join("/")}`;
  const parts = only.slice(0, -".slice".length).split("-");
  if (parts.includes("")) throw invalid(parent, "it is not a slice's name");
  return parts.map((_, index) => `/${parts.slice(0, index + 1).join("-")}.slice`).join("");
}

function invalid(subject: string, reason: string): BlazarError {
  return blazarError("InvalidArgument", "use the control group", reason, { subject });
}
