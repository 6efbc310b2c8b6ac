/**
 * The limits of a pod change while it runs: by kubelet's call, where containerd passes it on, and by containerd's, always.
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { PodCgroup } from "../../lab/host/pod-cgroup.ts";
import { runToEnd } from "../../lab/host/program.ts";
import { until } from "../../lab/host/until.ts";
import { BlazarError } from "../../src/contracts/errors.ts";
import { ContainerState } from "../../src/rpc/generated/runtime/v1/cri.ts";
import { type TestContainer, TestNode, type TestPod } from "../support/e2e/node.ts";
import { updateLimits } from "../support/e2e/pod-limits.ts";
import { blazarProgram } from "../support/e2e/program.ts";

const MEBIBYTE = 2 ** 20;
const PERIOD = 100_000;
const OVERHEAD = 288 * MEBIBYTE;
/** In the guest; what runs for operators is outside of the pod's cgroup. */
const POD = "/sys/fs/cgroup/pod";
let node: TestNode;
let passesOn: boolean;
const groups: PodCgroup[] = [];

beforeAll(async () => {
  node = await TestNode.start();
  const { runtimeVersion } = await node.cri.version();
  const [major = 0, minor = 0] = runtimeVersion.replace(/^v/, "").split(".").map(Number);
  passesOn = major > 2 || (major === 2 && minor >= 3);
});

afterEach(async () => {
  await node.stopAll();
  for (const group of groups.splice(0)) await group.remove();
  expect(await node.leftovers()).toEqual([]);
});

afterAll(() => node.stop());

const RESOURCES = { cpuQuota: 2 * PERIOD, cpuPeriod: PERIOD, memoryLimitInBytes: BigInt(256 * MEBIBYTE) };

/**
 * A pod whose containers may use 2 processors and 256 MiB, in a control group as kubelet makes it.
 * @param limited whether each of its containers has a memory limit: then it has one itself
 */
async function runPod(limited = true): Promise<{ pod: TestPod; group: PodCgroup }> {
  const bytes = limited ? 256 * MEBIBYTE + OVERHEAD : 2 ** 62;
  const group = await PodCgroup.make(`blazar-resize-${process.pid}-${groups.length}`, bytes);
  groups.push(group);
  if (limited) await group.limitCpu(4 * PERIOD);
  const linux = {
    cgroupParent: group.path,
    resources: RESOURCES,
    overhead: { memoryLimitInBytes: BigInt(OVERHEAD) },
  };
  return { pod: await node.runPod({ config: { linux } }), group };
}

/** The processor time that the pod's VMM may have, in microseconds of each 100,000; undefined = no limit of its own. */
async function quotaOfVmm(pod: TestPod): Promise<number | undefined> {
  const lines = (await readFile(`/proc/${await node.vmmPid(pod)}/cgroup`, "utf8")).split("\n");
  const legacy = lines
    .map((line) => line.split(":"))
    .find(([, names = ""]) => names.split(",").includes("cpu"));
  const unified = lines.map((line) => line.split(":")).find(([number]) => number === "0");
  const file =
    legacy === undefined
      ? join("/sys/fs/cgroup", unified?.[2] ?? "", "cpu.max")
      : join("/sys/fs/cgroup/cpu", legacy[2] ?? "", "cpu.cfs_quota_us");
  const quota = existsSync(file) ? Number((await readFile(file, "utf8")).split(" ")[0]) : Number.NaN;
  return quota > 0 ? quota : undefined;
}

/** The files of the pod's cgroup, as an operator sees them in the guest itself. */
async function limitsInGuest(pod: TestPod): Promise<string[]> {
  const words = [process.execPath, blazarProgram(), "exec", pod.id, "--"];
  const { code, stdout, stderr } = await runToEnd([...words, "cat", `${POD}/cpu.max`, `${POD}/memory.max`], {
    env: { BLAZAR_ADDRESS: node.node.inspectionSocket },
  });
  expect(code, stderr).toBe(0);
  return stdout.trim().split("\n");
}

function reasonOf(container: TestContainer): Promise<string | undefined> {
  return until("the end of a container", async () => {
    const { status } = await node.cri.containerStatus(container.id);
    return status?.state === ContainerState.CONTAINER_EXITED ? status.reason : undefined;
  });
}

/** Has so many mebibytes in memory at once: dd(1) reads a block before it writes it. */
function fill(mebibytes: number): string {
  return `dd if=/dev/zero of=/dev/null bs=${mebibytes}M count=1`;
}

/** In v1 a group below one that is limited has no quota of its own: the kernel would refuse to lower the other. */
function ownQuota(quota: number): number | undefined {
  return existsSync("/sys/fs/cgroup/cgroup.controllers") ? quota : undefined;
}

const SMALL = { cpu_quota: PERIOD / 2, cpu_period: PERIOD, memory_limit_in_bytes: 64 * MEBIBYTE };
const AS_IN_THE_BEGINNING = {
  cpu_quota: 2 * PERIOD,
  cpu_period: PERIOD,
  memory_limit_in_bytes: 256 * MEBIBYTE,
};

describe("the limits of a pod that runs", () => {
  it("go down and up again, in its guest and on its host, also after a restart of blazard", async () => {
    const { pod, group } = await runPod();
    await node.startContainer(pod, "exec sleep 1000");
    await updateLimits(node, pod, SMALL);
    expect(await limitsInGuest(pod)).toEqual([`${PERIOD / 2} ${PERIOD}`, String(64 * MEBIBYTE)]);
    expect(await quotaOfVmm(pod)).toBe(ownQuota(PERIOD / 2));
    // it has no limit of its own
    expect(await reasonOf(await node.startContainer(pod, fill(128)))).toBe("OOMKilled");
    await node.node.restartBlazard({ kill: true });
    await updateLimits(node, pod, AS_IN_THE_BEGINNING);
    expect(await limitsInGuest(pod)).toEqual([`${2 * PERIOD} ${PERIOD}`, String(256 * MEBIBYTE)]);
    expect(await quotaOfVmm(pod)).toBe(ownQuota(2 * PERIOD));
    expect(await reasonOf(await node.startContainer(pod, fill(128)))).toBe("Completed");
    expect(await group.kills()).toBe(0);
  });

  it("are on the VMM's own group where nobody has made one for the pod", async () => {
    const pod = await node.runPod({ config: { linux: { resources: RESOURCES } } });
    await updateLimits(node, pod, SMALL);
    expect(await limitsInGuest(pod)).toEqual([`${PERIOD / 2} ${PERIOD}`, String(64 * MEBIBYTE)]);
    expect(await quotaOfVmm(pod)).toBe(PERIOD / 2);
  });

  it("do not bind a container without limits, beside one that has some", async () => {
    const { pod } = await runPod(false);
    await updateLimits(node, pod, SMALL);
    expect(await limitsInGuest(pod)).toEqual([`max ${PERIOD}`, "max"]);
    expect(await quotaOfVmm(pod)).toBeUndefined();
    expect(await reasonOf(await node.startContainer(pod, fill(160)))).toBe("Completed");
  });

  it("do not go beyond what its VM has, nor below what its containers use; then they stay as they were", async () => {
    const { pod } = await runPod();
    const container = await node.startContainer(
      pod,
      "dd if=/dev/zero of=/dev/shm/held bs=1M count=60 2>/dev/null; echo held; exec sleep 1000",
    );
    await node.waitForLog(container, "held");
    await updateLimits(node, pod, AS_IN_THE_BEGINNING);
    const before = await limitsInGuest(pod);
    await expect(updateLimits(node, pod, { memory_limit_in_bytes: 4096 * MEBIBYTE })).rejects.toThrow(
      /the limit would be 4096Mi of memory, and containers can use \d+Mi of its VM/,
    );
    await expect(updateLimits(node, pod, { cpu_quota: 64 * PERIOD, cpu_period: PERIOD })).rejects.toThrow(
      /the limit would be 64 processors, and its VM has 2/,
    );
    await expect(updateLimits(node, pod, { memory_limit_in_bytes: 32 * MEBIBYTE })).rejects.toThrow(
      /its processes use \d{8} bytes, and would be killed/,
    );
    expect(await limitsInGuest(pod)).toEqual(before);
    expect(await node.exec(container, "wc -c < /dev/shm/held")).toMatchObject({
      code: 0,
      stdout: "62914560\n",
    });
  });

  it("change by kubelet's call from containerd 2.3 on; an earlier one does not pass it on", async () => {
    const { pod } = await runPod();
    await node.startContainer(pod, "exec sleep 1000");
    const before = await limitsInGuest(pod);
    const limits = { cpuQuota: PERIOD, cpuPeriod: PERIOD, memoryLimitInBytes: BigInt(96 * MEBIBYTE) };
    const called = node.cri.updatePodSandboxResources(pod.id, limits);
    // 2.1 does not know the call; 2.2 has it for NRI alone
    const outcome = await called.then(
      () => "done",
      (error: unknown) => (error instanceof BlazarError ? error.kind : String(error)),
    );
    expect(["done", ...(passesOn ? [] : ["unimplemented"])]).toContain(outcome);
    const after = passesOn ? [`${PERIOD} ${PERIOD}`, String(96 * MEBIBYTE)] : before;
    expect(await limitsInGuest(pod)).toEqual(after);
    const beyond = { ...limits, memoryLimitInBytes: BigInt(4096 * MEBIBYTE) };
    if (passesOn)
      await expect(node.cri.updatePodSandboxResources(pod.id, beyond)).rejects.toThrow(
        /containers can use \d+Mi/,
      );
  });
});
