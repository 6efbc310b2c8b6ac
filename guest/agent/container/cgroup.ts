/**
 * A container's cgroup: limits, kill, membership and out-of-memory counts (kernel: admin-guide/cgroup-v2).
 *
 * Each container's is a directory of the pod's, which has the limits of all of them. The agent itself stays in the root, which is
 * exempt from the rule that inner cgroups hold no processes; what runs for operators has cgroups beside the pod's.
 */
import * as sys from "sys";
import { check, failure } from "../../../native/runtime/check.ts";
import { blazarError } from "../../../src/contracts/errors.ts";
import type { ContainerCreate } from "../../../src/protocol/guest/messages.ts";
import { CGROUPS, POD_CGROUP } from "../guest-paths.ts";
import { DevicePrograms } from "./device-programs.ts";

const CONTROLLERS = ["cpu", "memory", "pids", "io", "cpuset", "hugetlb"];
const STATISTICS = [
  ...["cpu.stat", "pids.current", "pids.max", "io.stat"],
  ...["memory.stat", "memory.current", "memory.max", "memory.peak", "memory.events"],
  ...["memory.swap.current", "memory.swap.max"],
];
/** The kernel gives up early where pages are busy; its own limits try as often (mm/memcontrol.c: MAX_RECLAIM_RETRIES). */
const RECLAIM_ATTEMPTS = 16;
const MAX_STATISTICS_BYTES = 64 * 1024;
/** No container's id: an id starts with a letter or a digit. */
const KEPT = `${CGROUPS}/.kept`;
/** Prepared cgroups; a number follows. A cgroup cannot be renamed, and no container sees its name. */
const PREPARED = `${POD_CGROUP}/.prepared-`;
const FILE_NAME = /^[a-z0-9_]+(\.[a-z0-9_]+)+$/;

/** Mounts the hierarchy and enables the controllers for containers. */
export function mountCgroups(): void {
  // nsdelegate: a container that may mount its hierarchy cannot write its own limits there
  const flags = sys.MS_NOSUID | sys.MS_NODEV | sys.MS_NOEXEC;
  const result = sys.mount("cgroup2", CGROUPS, "cgroup2", flags, "nsdelegate");
  if (result === -sys.EBUSY) return;
  check(result, "mount the cgroups", CGROUPS);
  enableControllers(CGROUPS);
}

function enableControllers(path: string): void {
  for (const controller of CONTROLLERS) {
    // one write each, so that a kernel that lacks a controller still enables the others
    sys.writeFile(`${path}/cgroup.subtree_control`, `+${controller}`, sys.O_WRONLY);
  }
}

/** Makes the pod's cgroup, unless a dead agent has left it. */
export function makePodCgroup(): void {
  const result = sys.mkdir(POD_CGROUP, 0o755);
  if (result === -sys.EEXIST) return;
  check(result, "make the pod's cgroup", POD_CGROUP);
  enableControllers(POD_CGROUP);
}

/** Writes limits of the pod's cgroup, all of them or none. Throws ResourceExhausted if its containers hold more memory. */
export function limitPod(files: Readonly<Record<string, string>>): void {
  withPodCgroup((pod) => pod.update(files));
}

/** The same while it has no process: the kernel takes back what an earlier container has left in caches. */
export function limitEmptyPod(files: Readonly<Record<string, string>>): void {
  withPodCgroup((pod) => pod.configure(files));
}

function withPodCgroup(use: (pod: Cgroup) => void): void {
  const pod = Cgroup.open(POD_CGROUP);
  try {
    use(pod);
  } finally {
    sys.close(pod.descriptor);
  }
}

/**
 * Makes a cgroup that stays empty for ever, so that there is always one. The kernel patches its code when the first
 * cpuset or memory cgroup is made and when the last one is gone (static keys: kernel/cpuset.c, mm/memcontrol.c). That is
 * about 66 writes, each with two flushes of the TLB; under TCG, translated blocks are thrown away, too.
 */
export function keepControllersInUse(): void {
  const result = sys.mkdir(KEPT, 0o755);
  if (result !== -sys.EEXIST) check(result, "make a cgroup", KEPT);
}

export class Cgroup {
  /** What the last {@link configure} could not set. */
  refused: readonly string[] = [];
  /** Of one processor's time. */
  private share = Number.POSITIVE_INFINITY;

  private constructor(
    readonly path: string,
    /** For CLONE_INTO_CGROUP. */
    readonly descriptor: number,
  ) {}

  /** Makes a cgroup without processes. Throws, leaving nothing. */
  static make(path: string): Cgroup {
    check(sys.mkdir(path, 0o755), "make a cgroup", path);
    try {
      return Cgroup.open(path);
    } catch (error) {
      removeTree(path);
      throw error;
    }
  }

  /** One that is there; whoever opens it closes its descriptor, if {@link remove} does not. Throws. */
  static open(path: string): Cgroup {
    return new Cgroup(path, check(sys.open(path, sys.O_RDONLY | sys.O_DIRECTORY), "open a cgroup", path));
  }

  /**
   * Writes the cgroup's files; returns the sets of CPUs or memory nodes that this machine does not have, which the host
   * may have. Throws InvalidSpec at the first other value that the kernel refuses.
   */
  configure(files: Readonly<Record<string, string>>): readonly string[] {
    this.refused = Object.entries(files)
      .filter(([name, value]) => !this.write(name, value))
      .map(([name, value]) => `${name}=${value}`);
    return this.refused;
  }

  /** The same for what slows processes down, and nothing else. */
  throttle(files: Readonly<Record<string, string>>): void {
    for (const [name, value] of Object.entries(files)) if (isThrottle(name)) this.write(name, value);
  }

  /** It has so little of a processor's time that even making a process in it takes seconds. */
  get isSlow(): boolean {
    return this.share < SLOW_SHARE;
  }

  /** Moves a process here. Throws. */
  enter(pid: number): void {
    const result = sys.writeFile(`${this.path}/cgroup.procs`, String(pid), sys.O_WRONLY);
    check(result, "move a process into its container's cgroup", this.path);
  }

  /**
   * The same while processes run, all of it or nothing. Throws ResourceExhausted for a memory limit that is below what
   * they hold: the kernel would kill them for it.
   */
  update(files: Readonly<Record<string, string>>): readonly string[] {
    const before = Object.keys(files).map((name) => [name, this.read(name)] as const);
    const limit = Number(files["memory.max"]);
    if (Number.isSafeInteger(limit)) this.makeRoom(limit);
    try {
      return this.configure(files);
    } catch (error) {
      for (const [name, value] of before) if (value !== "") this.write(name, value);
      throw error;
    }
  }

  /** Has the kernel take back so much of the cgroup's caches that it uses no more than that. Throws ResourceExhausted. */
  private makeRoom(limit: number): void {
    const used = () => Number(this.read("memory.current"));
    for (let attempt = 0; used() > limit && attempt < RECLAIM_ATTEMPTS; attempt++)
      sys.writeFile(`${this.path}/memory.reclaim`, String(used() - limit), sys.O_WRONLY);
    if (!(used() > limit)) return;
    const reason = `its processes use ${used()} bytes, and would be killed`;
    throw blazarError("ResourceExhausted", "limit the memory", reason, { subject: `memory.max=${limit}` });
  }

  private read(name: string): string {
    const text = FILE_NAME.test(name) ? sys.readFile(`${this.path}/${name}`, 4096) : "";
    return typeof text === "string" ? text.trim() : "";
  }

  /** False for a set of CPUs or memory nodes that the machine does not have. */
  private write(name: string, value: string): boolean {
    if (!FILE_NAME.test(name)) {
      const reason = "it is not the name of a cgroup file, such as memory.max";
      throw blazarError("InvalidSpec", "write a cgroup file", reason, { subject: name });
    }
    const result = sys.writeFile(`${this.path}/${name}`, value, sys.O_WRONLY);
    if (result >= 0 && name === "cpu.max") this.share = shareOf(value);
    if (result >= 0) return true;
    if (name.startsWith("cpuset.")) return false;
    // no huge pages is what a kernel without them gives
    if (result === -sys.ENOENT && name.startsWith("hugetlb.") && value === "0") return true;
    if (result === -sys.ENOENT) {
      const reason = "the guest's kernel has no such limit";
      throw blazarError("InvalidSpec", "limit a container", reason, { subject: `${name}=${value}` });
    }
    throw failure(result, "InvalidSpec", "write a cgroup file", `${name}=${value}`);
  }

  freeze(frozen: boolean): void {
    check(sys.writeFile(`${this.path}/cgroup.freeze`, frozen ? "1" : "0", sys.O_WRONLY), "freeze", this.path);
  }

  frozen(): boolean {
    const events = sys.readFile(`${this.path}/cgroup.events`, 4096);
    return typeof events === "string" && events.includes("frozen 1");
  }

  /** The contents of the files that say what the cgroup uses; those that the kernel has. */
  stats(): Record<string, string> {
    const files: Record<string, string> = {};
    for (const name of STATISTICS) {
      const text = sys.readFile(`${this.path}/${name}`, MAX_STATISTICS_BYTES);
      if (typeof text === "string") files[name] = text;
    }
    return files;
  }

  /**
   * Kills every process in the cgroup and below. To end takes processor time as well: with a small quota, many processes would
   * need minutes for it.
   */
  kill(): void {
    if (this.share < 1) sys.writeFile(`${this.path}/cpu.max`, "max", sys.O_WRONLY);
    sys.writeFile(`${this.path}/cgroup.kill`, "1", sys.O_WRONLY);
  }

  /** The pids of every process in the cgroup and below, in the guest's root PID namespace. */
  pids(): number[] {
    return pidsBelow(this.path);
  }

  /** True while there is a process in the cgroup or below. */
  populated(): boolean {
    const events = sys.readFile(`${this.path}/cgroup.events`, 4096);
    return typeof events === "string" && events.includes("populated 1");
  }

  /** How many processes the kernel has killed because memory ran out. */
  oomKills(): number {
    const events = sys.readFile(`${this.path}/memory.events`, 4096);
    return typeof events === "string" ? Number(/^oom_kill (\d+)$/m.exec(events)?.[1] ?? 0) : 0;
  }

  /** Removes the cgroup and those that the container made below it. False while a process is left. */
  remove(): boolean {
    const removed = removeTree(this.path);
    if (removed && this.descriptor >= 0) sys.close(this.descriptor);
    return removed;
  }
}

/** What a container's cgroup is made from. */
type CgroupPlan = Pick<ContainerCreate, "id" | "cgroup" | "deviceProgram">;

/** Makes the containers' cgroups, and prepares one for the next container. */
export class Cgroups {
  private readonly devices = new DevicePrograms(KEPT);
  private prepared: Cgroup | undefined;
  private count = 0;

  /** Prepares a cgroup for the next container, unless there is one. Throws. */
  prepare(): void {
    this.prepared ??= Cgroup.make(`${PREPARED}${this.count++}`);
  }

  /**
   * Makes a container's cgroup with its rules and limits. {@link Cgroup.throttle} has the rest of them, for a first process that
   * is ready. Throws, leaving nothing.
   */
  create({ id, cgroup: files, deviceProgram }: CgroupPlan): Cgroup {
    const cgroup = this.prepared ?? Cgroup.make(`${POD_CGROUP}/${id}`);
    this.prepared = undefined;
    try {
      this.devices.attach(cgroup.descriptor, deviceProgram);
      cgroup.configure(Object.fromEntries(Object.entries(files).filter(([name]) => !isThrottle(name))));
      return cgroup;
    } catch (error) {
      cgroup.remove();
      throw error;
    }
  }
}

/** Of one processor. */
const SLOW_SHARE = 0.2;
const DEFAULT_PERIOD = 100_000;

/** Of quota and period, as cpu.max has them; a quota of "max" is no number. */
function shareOf(cpuMax: string): number {
  const [quota = Number.NaN, period = DEFAULT_PERIOD] = cpuMax.split(" ").map(Number);
  return Number.isFinite(quota) ? quota / period : Number.POSITIVE_INFINITY;
}

/** Of the CPU's time. */
const isThrottle = (name: string) => name.startsWith("cpu.");

/** Kills the processes of all containers, those of a crashed agent included. */
export function killAllCgroups(): void {
  for (const path of subgroups(CGROUPS)) sys.writeFile(`${path}/cgroup.kill`, "1", sys.O_WRONLY);
}

/** Removes all cgroups that have no process left. */
export function removeAllCgroups(): void {
  for (const path of subgroups(CGROUPS)) removeTree(path);
}

function pidsBelow(path: string): number[] {
  const text = sys.readFile(`${path}/cgroup.procs`, 1 << 22);
  const own = typeof text === "string" ? text.split("\n").filter((line) => line !== "") : [];
  return [...own.map(Number).filter((pid) => pid > 0), ...subgroups(path).flatMap(pidsBelow)];
}

function removeTree(path: string): boolean {
  for (const below of subgroups(path)) removeTree(below);
  const result = sys.rmdir(path);
  return result >= 0 || result === -sys.ENOENT;
}

function subgroups(path: string): string[] {
  const directory = sys.lstat(path);
  // in a kernfs a directory has two links, and one for each subdirectory: this saves about sixty lstat(2) calls
  if (typeof directory === "number" || directory.nlink <= 2) return [];
  const names = sys.readdir(path);
  if (typeof names === "number") return [];
  return names
    .map((name) => `${path}/${name}`)
    .filter((each) => {
      const stat = sys.lstat(each);
      return typeof stat !== "number" && (stat.mode & sys.S_IFMT) === sys.S_IFDIR;
    });
}
