/**
 * From a container's statistics to the message that Task.Stats answers: io.containerd.cgroups.v2.Metrics.
 *
 * containerd's CRI tells the message by the type of its Any. No limit is the largest number of 64 bits, as in containerd's
 * own reading of `max`.
 */
import type { CgroupStats } from "../../contracts/stats.ts";
import { Metrics } from "../generated/containerd/cgroups/v2/metrics.ts";
import type { Any } from "../generated/google/protobuf/any.ts";

const TYPE = "io.containerd.cgroups.v2.Metrics";
const NO_LIMIT = 2n ** 64n - 1n;

export function toMetrics(stats: CgroupStats): Any {
  const { pids, memoryUsage, swapUsage } = stats;
  const cpu = from(stats.cpu);
  const events = from(stats.memoryEvents);
  const metrics: Metrics = {
    pids: { current: pids.current, limit: pids.limit ?? NO_LIMIT },
    cpu: {
      usageUsec: cpu("usage_usec"),
      userUsec: cpu("user_usec"),
      systemUsec: cpu("system_usec"),
      nrPeriods: cpu("nr_periods"),
      nrThrottled: cpu("nr_throttled"),
      throttledUsec: cpu("throttled_usec"),
    },
    memory: {
      ...memoryOf(stats),
      usage: memoryUsage.current,
      usageLimit: memoryUsage.limit ?? NO_LIMIT,
      maxUsage: memoryUsage.peak,
      swapUsage: swapUsage.current,
      swapLimit: swapUsage.limit ?? NO_LIMIT,
    },
    memoryEvents: {
      low: events("low"),
      high: events("high"),
      max: events("max"),
      oom: events("oom"),
      oomKill: events("oom_kill"),
    },
    io: { usage: stats.io.map(ioEntry) },
  };
  return { typeUrl: TYPE, value: Metrics.encode(metrics).finish() };
}

function memoryOf({ memory }: CgroupStats) {
  const value = from(memory);
  return {
    anon: value("anon"),
    file: value("file"),
    kernelStack: value("kernel_stack"),
    slab: value("slab"),
    sock: value("sock"),
    shmem: value("shmem"),
    fileMapped: value("file_mapped"),
    fileDirty: value("file_dirty"),
    fileWriteback: value("file_writeback"),
    anonThp: value("anon_thp"),
    inactiveAnon: value("inactive_anon"),
    activeAnon: value("active_anon"),
    inactiveFile: value("inactive_file"),
    activeFile: value("active_file"),
    unevictable: value("unevictable"),
    slabReclaimable: value("slab_reclaimable"),
    slabUnreclaimable: value("slab_unreclaimable"),
    pgfault: value("pgfault"),
    pgmajfault: value("pgmajfault"),
  };
}

function ioEntry({ major, minor, values }: CgroupStats["io"][number]) {
  const value = from(values);
  return {
    major,
    minor,
    rbytes: value("rbytes"),
    wbytes: value("wbytes"),
    rios: value("rios"),
    wios: value("wios"),
  };
}

function from(values: ReadonlyMap<string, bigint>): (name: string) => bigint {
  return (name) => values.get(name) ?? 0n;
}
