/**
 * What the containers of a pod use together, by the guest's own cgroups.
 *
 * The VMM is not in it: the host's cgroup of the pod counts that, and CRI's PodSandboxStats has that (until containerd 2.3 it reads
 * it by itself, from 2.4 on it asks Controller.Metrics each second).
 */
import type { CgroupStats } from "../../contracts/stats.ts";

type Values = ReadonlyMap<string, bigint>;
type Limited = { readonly current: bigint; readonly limit: bigint | undefined };

const NOTHING: CgroupStats = {
  pids: { current: 0n, limit: 0n },
  cpu: new Map(),
  memory: new Map(),
  memoryUsage: { current: 0n, limit: 0n, peak: 0n },
  swapUsage: { current: 0n, limit: 0n },
  memoryEvents: new Map(),
  io: [],
};

/** The sums. A limit is one only if every container has one. */
export function sumOfStats(all: readonly CgroupStats[]): CgroupStats {
  if (all.length === 0) return { ...NOTHING, pids: { current: 0n, limit: undefined } };
  return all.reduce(
    (sum, each) => ({
      pids: added(sum.pids, each.pids),
      cpu: merged(sum.cpu, each.cpu),
      memory: merged(sum.memory, each.memory),
      memoryUsage: {
        ...added(sum.memoryUsage, each.memoryUsage),
        peak: sum.memoryUsage.peak + each.memoryUsage.peak,
      },
      swapUsage: added(sum.swapUsage, each.swapUsage),
      memoryEvents: merged(sum.memoryEvents, each.memoryEvents),
      io: [...sum.io, ...each.io],
    }),
    NOTHING,
  );
}

function added(one: Limited, other: Limited): Limited {
  const known = one.limit !== undefined && other.limit !== undefined;
  return {
    current: one.current + other.current,
    limit: known ? (one.limit ?? 0n) + (other.limit ?? 0n) : undefined,
  };
}

function merged(one: Values, other: Values): Values {
  const sum = new Map(one);
  for (const [name, value] of other) sum.set(name, (sum.get(name) ?? 0n) + value);
  return sum;
}
