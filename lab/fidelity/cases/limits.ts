/** Cases: odd limits, when a container is made and while it runs. */
import type { FidelityCase } from "../case.ts";
import { type ContainerConfig, failureOf, type HandlerPod } from "../handler-pod.ts";

const SLEEP = "exec sleep 1000";
const MEBIBYTE = 1024 * 1024;

type Resources = NonNullable<NonNullable<ContainerConfig["linux"]>["resources"]>;

const ODD: readonly (readonly [string, Resources])[] = [
  ["a CPU quota of -1", { cpuQuota: -1, cpuPeriod: 100_000 }],
  ["a CPU quota of 0", { cpuQuota: 0, cpuPeriod: 100_000 }],
  ["a CPU quota of less than a millisecond", { cpuQuota: 999, cpuPeriod: 100_000 }],
  ["a CPU quota of a thousand processors", { cpuQuota: 100_000_000, cpuPeriod: 100_000 }],
  ["a CPU period that is too short", { cpuQuota: 10_000, cpuPeriod: 999 }],
  ["a CPU period that is too long", { cpuQuota: 10_000, cpuPeriod: 1_000_001 }],
  ["a CPU quota without a period", { cpuQuota: 50_000 }],
  ["CPU shares of 1", { cpuShares: 1 }],
  ["CPU shares of 2", { cpuShares: 2 }],
  ["CPU shares of 262,144", { cpuShares: 262_144 }],
  ["CPU shares beyond what there is", { cpuShares: 10_000_000 }],
  ["the first CPU", { cpusetCpus: "0", cpusetMems: "0" }],
  ["words for CPUs", { cpusetCpus: "first" }],
  ["a range of CPUs that runs backwards", { cpusetCpus: "1-0" }],
  ["a memory limit of -1", { memoryLimitInBytes: -1 }],
  ["a memory limit beyond any machine", { memoryLimitInBytes: 2 ** 48 }],
  ["the largest memory limit", { memoryLimitInBytes: 2 ** 52 }],
  ["a memory limit that no process fits into", { memoryLimitInBytes: 4096 }],
  ["a memory limit that is no whole page", { memoryLimitInBytes: 64 * MEBIBYTE + 1 }],
  ["a score for the OOM killer of 1000", { oomScoreAdj: 1000 }],
  ["a score for the OOM killer of 1001", { oomScoreAdj: 1001 }],
  ["a score for the OOM killer of -1000", { oomScoreAdj: -1000 }],
  ["huge pages of none", { hugepageLimits: [{ pageSize: "2MB", limit: 0 }] }],
];

/** What the container sees of its limits, whichever version of cgroups it has. */
const SEEN = [
  "cd /sys/fs/cgroup",
  "if [ -e memory.max ]; then read m < memory.max; read q p < cpu.max; else read m < memory/memory.limit_in_bytes; read q < cpu/cpu.cfs_quota_us; read p < cpu/cpu.cfs_period_us; fi",
  "case $m in max|9223372036854771712) m=none;; esac",
  "case $q in max|-1) q=none;; esac",
  "echo memory $m, cpu $q/$p",
].join("; ");

const USUAL: Resources = { memoryLimitInBytes: 64 * MEBIBYTE, cpuQuota: 50_000, cpuPeriod: 100_000 };
const A_MILLISECOND: Resources = { cpuQuota: 1_000, cpuPeriod: 100_000 };

async function updated(pod: HandlerPod, resources: Resources): Promise<string> {
  return pod.during(
    async (id) => {
      const outcome = await failureOf(pod.cri.updateContainerResources(id, resources));
      return `${outcome}: ${await pod.execIn(id, SEEN)}`;
    },
    SLEEP,
    { linux: { resources: USUAL } },
  );
}

const SHARES =
  "runc on cgroup v1 refuses shares that the kernel would round; a guest has cgroup v2, where newer runcs and blazar take the nearest that there are";
const PERIOD = "runc has written the quota when the kernel refuses the period; blazar changes all or nothing";
const BEYOND_THE_VM =
  "a running container's limit can only be raised to what its VM has: more than that is refused by name";
/** Why a container that is made with the limit differs. */
const MADE: Readonly<Record<string, string>> = {
  "CPU shares of 1": SHARES,
  "CPU shares beyond what there is": SHARES,
};
/** The same for a container that runs. */
const CHANGED: Readonly<Record<string, string>> = {
  ...MADE,
  "a CPU period that is too short": PERIOD,
  "a CPU period that is too long": PERIOD,
  "a memory limit beyond any machine": BEYOND_THE_VM,
  "the largest memory limit": BEYOND_THE_VM,
};
const because = (explained: string | undefined) => (explained === undefined ? {} : { explained });

export const LIMIT_CASES: readonly FidelityCase[] = [
  ...ODD.map(([name, resources]): FidelityCase => {
    const run: FidelityCase["run"] = (pod) => pod.run(SEEN, { linux: { resources } }).catch(() => "refused");
    return { name: `limit: ${name}`, run, ...because(MADE[name]) };
  }),
  ...ODD.filter(([name]) => !name.includes("OOM")).map(
    ([name, resources]): FidelityCase => ({
      name: `limit: ${name}, of a container that runs`,
      run: (pod) => updated(pod, resources),
      ...because(CHANGED[name]),
    }),
  ),
  // not SEEN: a guest counts the time for which its host does not run it, so many commands would take minutes on a busy machine
  {
    name: "limit: a CPU quota of a millisecond, which an exec has as well",
    run: (pod) =>
      pod.during((id) => pod.execIn(id, "echo in"), SLEEP, { linux: { resources: A_MILLISECOND } }),
  },
  {
    name: "limit: a CPU quota of a millisecond, which is raised",
    run: (pod) =>
      pod.during(
        async (id) => {
          const raised = await failureOf(pod.cri.updateContainerResources(id, USUAL));
          return `${raised}: ${await pod.execIn(id, SEEN)}`;
        },
        SLEEP,
        { linux: { resources: A_MILLISECOND } },
      ),
  },
  {
    name: "limit: a CPU quota of a millisecond, of a container that runs, for a while",
    run: (pod) =>
      pod.during(
        async (id) => {
          const lowered = await failureOf(pod.cri.updateContainerResources(id, A_MILLISECOND));
          const raised = await failureOf(pod.cri.updateContainerResources(id, USUAL));
          return `${lowered}, ${raised}: ${await pod.execIn(id, SEEN)}`;
        },
        "while :; do :; done",
        { linux: { resources: USUAL } },
      ),
  },
  {
    name: "limit: 60 changes of a container that computes",
    run: (pod) =>
      pod.during(
        async (id) => {
          const changes = Array.from({ length: 60 }, (_, index) =>
            pod.cri.updateContainerResources(id, {
              memoryLimitInBytes: (64 + (index % 7)) * MEBIBYTE,
              cpuQuota: 20_000 + index * 1000,
              cpuPeriod: 100_000,
            }),
          );
          const outcomes = await Promise.all(changes.map(failureOf));
          await pod.cri.updateContainerResources(id, {
            memoryLimitInBytes: 80 * MEBIBYTE,
            cpuQuota: 70_000,
            cpuPeriod: 100_000,
          });
          return `${[...new Set(outcomes)]}: ${await pod.execIn(id, SEEN)}`;
        },
        "while :; do :; done",
        { linux: { resources: { memoryLimitInBytes: 64 * MEBIBYTE } } },
      ),
  },
  {
    name: "limit: a container that has ended takes none",
    run: (pod) =>
      pod.during(async (id) => {
        await pod.cri.stopContainer(id, 0);
        return failureOf(pod.cri.updateContainerResources(id, { cpuShares: 512 }));
      }, SLEEP),
  },
  {
    name: "limit: one of memory that is raised lets a container go on that was at it",
    run: (pod) =>
      pod.during(
        async (id) => {
          const fill = (mebibytes: number) =>
            pod.execIn(id, `dd if=/dev/zero of=/dev/null bs=${mebibytes}M count=1 2>/dev/null; echo $?`);
          const before = await fill(60);
          await pod.cri.updateContainerResources(id, { memoryLimitInBytes: 100 * MEBIBYTE });
          return `${before} ${await fill(60)}`;
        },
        SLEEP,
        { linux: { resources: { memoryLimitInBytes: 32 * MEBIBYTE } } },
      ),
  },
  {
    name: "limit: a process may lower its own, and raise none",
    run: (pod) =>
      pod.run(
        "h=$(ulimit -Hn); ulimit -n 100 && ulimit -n; ulimit -Hn 200; (ulimit -n 300) 2>&1 | sed 's/.*: //'; ulimit -c 10; ulimit -t 1; while :; do :; done",
        { linux: { securityContext: { runAsUser: { value: 1000n } } } },
      ),
  },
];
