/**
 * From OCI `linux.resources` to files of the guest's cgroup v2: runtime-spec, config-linux.md#control-groups, and the
 * kernel's cgroup-v2.rst.
 *
 * The guest always has cgroup v2, whatever the host has. Values of v1 are converted as runc does. Sets of CPUs have the
 * guest's numbers there; it says if it does not have them.
 */
import { atMost } from "./limits.ts";
import { invalidSpec, isEmpty, type OciResources, readSpec, resourcesSchema } from "./schema.ts";

export interface TranslatedResources {
  /** Values by the names of cgroup v2's files. */
  readonly cgroup: Record<string, string>;
  readonly warnings: string[];
}

/** For resources without a spec, as in Task.Update. @throws BlazarError `InvalidSpec` */
export function translateResources(value: unknown): TranslatedResources {
  return guestResources(readSpec(resourcesSchema, value, "linux.resources"));
}

export function guestResources(resources: OciResources): TranslatedResources {
  const cgroup: Record<string, string> = {};
  writeMemory(resources.memory ?? {}, cgroup);
  writeCpu(resources.cpu ?? {}, cgroup);
  for (const { pageSize, limit } of atMost(
    resources.hugepageLimits ?? [],
    16,
    "linux.resources.hugepageLimits",
  )) {
    const most = whole(limit, `linux.resources.hugepageLimits ${pageSize}`) ?? 0;
    cgroup[`hugetlb.${pageSize}.max`] = most < 0 ? "max" : String(most);
  }
  const pids = whole(resources.pids?.limit, "linux.resources.pids.limit");
  if (pids !== undefined && pids !== 0) cgroup["pids.max"] = pids < 0 ? "max" : String(pids);
  const unified = Object.entries(resources.unified ?? {});
  for (const [name, value] of atMost(unified, 64, "linux.resources.unified")) {
    if (!/^[a-z0-9_]+(\.[a-z0-9_]+)+$/.test(name) || name.startsWith("cgroup."))
      throw invalidSpec("linux.resources.unified", `"${name}" is not a limit`);
    if (value.trim() === "") throw invalidSpec(`linux.resources.unified.${name}`, "is empty");
    cgroup[name] = value;
  }
  return { cgroup, warnings: resourceWarnings(resources) };
}

function writeMemory(memory: NonNullable<OciResources["memory"]>, cgroup: Record<string, string>): void {
  const limit = whole(memory.limit, "linux.resources.memory.limit");
  if (limit !== undefined && limit !== 0) cgroup["memory.max"] = limit < 0 ? "max" : String(limit);
  const reservation = whole(memory.reservation, "linux.resources.memory.reservation");
  if (reservation !== undefined && reservation > 0) cgroup["memory.low"] = String(reservation);
  const swap = whole(memory.swap, "linux.resources.memory.swap");
  if (swap !== undefined && swap !== 0) cgroup["memory.swap.max"] = swapAlone(swap, limit ?? 0);
}

/** Of the sum of memory and swap that cgroup v1 limits, the part that is swap. */
function swapAlone(sum: number, memory: number): string {
  const field = "linux.resources.memory.swap";
  if (sum < 0) return "max";
  if (memory === 0) throw invalidSpec(field, `${sum} has no linux.resources.memory.limit to be added to`);
  if (memory < 0) throw invalidSpec(field, `${sum} is below the memory limit, which is none`);
  if (sum < memory) throw invalidSpec(field, `${sum} is below the memory limit ${memory}`);
  return String(sum - memory);
}

function writeCpu(cpu: NonNullable<OciResources["cpu"]>, cgroup: Record<string, string>): void {
  const quota = whole(cpu.quota, "linux.resources.cpu.quota");
  const period = whole(cpu.period, "linux.resources.cpu.period") ?? 0;
  if ((quota !== undefined && quota !== 0) || period > 0) {
    const allowed = quota === undefined || quota <= 0 ? "max" : String(quota);
    cgroup["cpu.max"] = `${allowed} ${period > 0 ? period : 100_000}`;
  }
  const burst = whole(cpu.burst, "linux.resources.cpu.burst");
  if (burst !== undefined && burst > 0) cgroup["cpu.max.burst"] = String(burst);
  const shares = whole(cpu.shares, "linux.resources.cpu.shares");
  if (shares !== undefined && shares > 0) cgroup["cpu.weight"] = String(weightOfShares(shares));
  const idle = whole(cpu.idle, "linux.resources.cpu.idle");
  if (idle === 1) cgroup["cpu.idle"] = "1";
  for (const name of ["cpus", "mems"] as const) {
    const set = cpu[name];
    if (isEmpty(set)) continue;
    const field = `linux.resources.cpu.${name}`;
    cgroup[`cpuset.${name}`] = checkedSet(set ?? "", field);
  }
}

/** A list of CPUs or memory nodes as the kernel takes it (cpuset(7), FORMATS): numbers and ranges that rise. */
function checkedSet(set: string, field: string): string {
  if (!/^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$/.test(set))
    throw invalidSpec(field, `"${set}" is not a list such as 0-2,5`);
  const falling = set.split(",").find((part) => {
    const [first, last = first] = part.split("-").map(Number);
    return Number(first) > Number(last);
  });
  if (falling !== undefined) throw invalidSpec(field, `the range ${falling} runs backwards`);
  return set;
}

/** From cgroup v1's shares (2 to 262144) to v2's weight (1 to 10000). */
export function weightOfShares(shares: number): number {
  const bounded = Math.min(Math.max(shares, 2), 262_144);
  return 1 + Math.floor(((bounded - 2) * 9999) / 262_142);
}

function resourceWarnings({ cpu, memory, ...resources }: OciResources): string[] {
  const warnings: string[] = [];
  if ((cpu?.realtimeRuntime ?? 0) !== 0 || (cpu?.realtimePeriod ?? 0) !== 0)
    warnings.push("real-time CPU limits are not supported");
  if (memory?.disableOOMKiller === true) warnings.push("the OOM killer cannot be disabled in the guest");
  for (const field of ["blockIO", "network", "rdma"] as const) {
    if (!isEmpty(resources[field])) warnings.push(`linux.resources.${field} is not supported`);
  }
  return warnings;
}

/** An integer as Go writes it, or undefined. Above 2^53 it is -1, unlimited. */
function whole(value: number | null | undefined, field: string): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (value > Number.MAX_SAFE_INTEGER) return -1;
  if (!Number.isInteger(value) || value < Number.MIN_SAFE_INTEGER)
    throw invalidSpec(field, `${value} is not an integer`);
  return value;
}
