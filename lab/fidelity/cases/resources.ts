/** Cases: limits, statistics, and what containers of a pod share. */
import { NamespaceMode } from "../../../src/rpc/generated/runtime/v1/cri.ts";
import type { FidelityCase } from "../case.ts";
import { type ContainerConfig, failureOf, type HandlerPod } from "../handler-pod.ts";

const MEBIBYTE = 1024n * 1024n;
const limited = (memory: bigint): ContainerConfig => ({
  linux: { resources: { memoryLimitInBytes: memory * MEBIBYTE } },
});
/** The memory limit, whatever the version of cgroups. */
const MEMORY_LIMIT =
  "cat /sys/fs/cgroup/memory.max 2>/dev/null || cat /sys/fs/cgroup/memory/memory.limit_in_bytes";
const atLeast = (file: string, least: number) =>
  `[ "$(cut -c1-9 ${file})" -ge ${least} ] && echo enough || cat ${file}`;
/** Tries for some seconds: what another container does after its start may take a moment. */
const eventually = (command: string) =>
  `i=0; until ${command} || [ $i = 100 ]; do sleep 0.1; i=$((i+1)); done; ${command}`;
const podPid = { linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.POD } } } };

/** Whether statistics tell of a container that computes and holds memory. */
async function statistics(pod: HandlerPod, id: string): Promise<string> {
  await pod.execIn(id, "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done");
  const stats = await pod.cri.containerStats(id);
  const cpu = stats?.cpu?.usageCoreNanoSeconds?.value ?? 0n;
  const memory = stats?.memory?.workingSetBytes?.value ?? 0n;
  return `cpu ${cpu > 0n ? "counted" : cpu}, memory ${memory > 0n && memory < 64n * MEBIBYTE ? "counted" : memory}`;
}

export const RESOURCE_CASES: readonly FidelityCase[] = [
  { name: "a memory limit", run: (pod) => pod.run(MEMORY_LIMIT, limited(64n)) },
  { name: "memory runs out", run: (pod) => pod.run(["tail", "/dev/zero"], limited(24n)) },
  {
    name: "a memory limit that is changed",
    run: (pod) =>
      pod.during(
        async (id) => {
          await pod.cri.updateContainerResources(id, { memoryLimitInBytes: 96n * MEBIBYTE, cpuShares: 512 });
          return pod.execIn(id, MEMORY_LIMIT);
        },
        "exec sleep 1000",
        limited(64n),
      ),
  },
  {
    name: "a change that is not a limit",
    run: (pod) =>
      pod.during(
        (id) =>
          failureOf(
            pod.cri.updateContainerResources(id, { memoryLimitInBytes: -5n, memorySwapLimitInBytes: 5n }),
          ),
        "exec sleep 1000",
        limited(64n),
      ),
  },
  {
    name: "statistics of a container",
    run: (pod) => pod.during((id) => statistics(pod, id), "exec sleep 1000", limited(64n)),
  },
  {
    name: "statistics of all containers",
    run: (pod) =>
      pod.during(async (id) => {
        const all = await pod.cri.listContainerStats({ id });
        return `${all.length} with ${all[0]?.cpu === undefined ? "nothing" : "cpu"}`;
      }, "exec sleep 1000"),
  },
  {
    name: "files open on the whole machine",
    run: (pod) => pod.run(atLeast("/proc/sys/fs/file-max", 20_000)),
  },
  {
    name: "threads on the whole machine",
    run: (pod) => pod.run(atLeast("/proc/sys/kernel/threads-max", 4_000)),
  },
  {
    // more than the kernel would grant a user in a machine of 256 MB, and what fits into its memory
    name: "1,000 processes of a user at once",
    run: (pod) =>
      pod.run("i=0; while [ $i -lt 1000 ]; do sleep 60 & i=$((i+1)); done; jobs | wc -l", {
        linux: { securityContext: { runAsUser: { value: 1000n } } },
      }),
  },
  { name: "the first process is number 1", run: (pod) => pod.run("echo $$") },
  {
    name: "orphans are reaped",
    run: (pod) => pod.exec("(sleep 0.1 &); sleep 0.5; ps | grep -c '[Z]ombie'; true"),
  },
  {
    name: "one PID namespace for the pod",
    pod: podPid,
    run: (pod) =>
      pod.during(
        () => pod.run(`${eventually("ps -o args | grep -q '^sleep 4242$'")} && echo seen`, podPid),
        "exec sleep 4242",
        podPid,
      ),
  },
  {
    name: "/dev/shm is shared by the pod",
    run: (pod) =>
      pod
        .during(
          () => pod.run(`${eventually("test -s /dev/shm/note")} && cat /dev/shm/note`),
          "echo shared > /dev/shm/note; exec sleep 1000",
        )
        .then((text) => text),
  },
  {
    name: "the size of /dev/shm",
    run: (pod) => pod.run("df -k /dev/shm | tail -1 | awk '{print $2}'"),
  },
  {
    name: "a sysctl of the pod",
    pod: { linux: { sysctls: { "kernel.shm_rmid_forced": "1" } } },
    run: (pod) => pod.run("cat /proc/sys/kernel/shm_rmid_forced"),
  },
  {
    name: "the kernel's filesystems",
    run: (pod) =>
      pod.run(
        "awk '{print $2, $3}' /proc/mounts | grep -vE '^/ |cgroup|/(hosts|hostname|resolv.conf|boot_id) ' | sort",
      ),
  },
];
