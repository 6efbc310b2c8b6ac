/**
 * Memory that a guest does not use comes back to the host, whatever the VM was made of. So a VM can be larger than its pod's
 * limits, and they can be raised and lowered while it runs.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { PodCgroup } from "../../lab/host/pod-cgroup.ts";
import { until } from "../../lab/host/until.ts";
import { TestNode, type TestPod } from "../support/e2e/node.ts";
import { updateLimits } from "../support/e2e/pod-limits.ts";

const MEBIBYTE = 2 ** 20;
const TOUCHED = 160 * MEBIBYTE;
let node: TestNode;
let group: PodCgroup;

beforeAll(async () => {
  node = await TestNode.start();
});

beforeEach(async () => {
  group = await PodCgroup.make(`blazar-back-${process.pid}`, 1024 * MEBIBYTE);
});

afterEach(async () => {
  await node.stopAll();
  await group.remove();
  expect(await node.leftovers()).toEqual([]);
});

afterAll(() => node.stop());

/** A pod whose VM was made in this way. The first one of a size boots, and then its template is made. */
function podFrom(source: string): Promise<TestPod> {
  return until(
    `a pod by ${source}`,
    async () => {
      const annotations: Record<string, string> = source === "boot" ? { "io.blazar.boot": "cold" } : {};
      const resources = { memoryLimitInBytes: BigInt(256 * MEBIBYTE) };
      const linux = { cgroupParent: group.path, resources };
      const pod = await node.runPod({ config: { annotations, linux } });
      const { info } = await node.cri.podSandboxStatus(pod.id, true);
      if (info["source"] === source) return pod;
      await node.removePod(pod);
      return undefined;
    },
    { timeoutMs: 120_000, pollMs: 3_000 },
  );
}

describe("memory that was used and is free", () => {
  it.each(["boot", "clone", "fork"])(
    "goes back to the host if the VM is made by a %s",
    async (source) => {
      if (source !== "boot")
        await node.node.restartBlazard({ config: { template: { enabled: true, fork: source === "fork" } } });
      const pod = await podFrom(source);
      // dd(1) has a whole block in memory, until somebody takes it
      const taken = "(until [ -e /go ]; do sleep 0.1; done; cat > /dev/null)";
      const use = `dd if=/dev/zero bs=${TOUCHED} count=1 2>/dev/null | ${taken}; exec sleep 1000`;
      const before = await group.usage();
      const container = await node.startContainer(pod, use);
      const used = async () => ((await group.usage()) - before > 0.9 * TOUCHED ? true : undefined);
      await until("the memory to be used", used);
      await node.exec(container, "touch /go");
      const back = async () => ((await group.usage()) - before < 0.4 * TOUCHED ? true : undefined);
      await until("the memory to come back", back);
    },
    300_000,
  );
});

describe("a VM that is larger than its pod's limits", () => {
  const LIMIT = 192 * MEBIBYTE;
  const RAISED = 384 * MEBIBYTE;
  /** Of the shipped RuntimeClass. */
  const OVERHEAD = 288 * MEBIBYTE;

  async function runPod(): Promise<TestPod> {
    await group.limit(LIMIT + OVERHEAD);
    const linux = {
      cgroupParent: group.path,
      resources: { memoryLimitInBytes: BigInt(LIMIT) },
      overhead: { memoryLimitInBytes: BigInt(OVERHEAD) },
    };
    return await node.runPod({ config: { annotations: { "io.blazar.memory": "768Mi" }, linux } });
  }

  const start = (pod: TestPod, command: string, bytes: number) =>
    node.startContainer(pod, command, { linux: { resources: { memoryLimitInBytes: BigInt(bytes) } } });
  const fill = (bytes: number) => `dd if=/dev/zero of=/dev/null bs=${Math.floor(bytes)} count=1`;
  const files = "dd if=/dev/zero of=/big bs=1M count=256 2>/dev/null";

  it("is bounded by them: its containers use all of it, and the host's limit is not met", async () => {
    const pod = await runPod();
    const memory = Number((await node.cri.podSandboxStatus(pod.id, true)).info["memory"]);
    expect(memory).toBe(768 * MEBIBYTE);
    for (let round = 0; round < 3; round++) {
      const within = await start(pod, `${files}; ${fill(0.95 * LIMIT)}`, LIMIT);
      expect(await node.waitForExit(within)).toMatchObject({ exitCode: 0, reason: "Completed" });
    }
    // a container without a limit of its own meets the pod's
    const beyond = await node.startContainer(pod, `exec ${fill(1.5 * LIMIT)}`);
    expect(await node.waitForExit(beyond)).toMatchObject({ exitCode: 137, reason: "OOMKilled" });
    expect(await group.kills()).toBe(0);
  }, 300_000);

  it("takes limits that are raised, and gives back what is above them when they are lowered", async () => {
    const pod = await runPod();
    await group.limit(RAISED + OVERHEAD);
    await updateLimits(node, pod, { memory_limit_in_bytes: RAISED });
    const hold = `dd if=/dev/zero of=/big bs=1M count=300 2>/dev/null; ${fill(0.9 * RAISED)}; cat /big > /dev/null; echo done; exec sleep 1000`;
    await node.waitForLog(await start(pod, hold, RAISED), "done");
    const used = await group.held();
    await updateLimits(node, pod, { memory_limit_in_bytes: LIMIT });
    // 300 MiB of files were cached, of which the limit has left as much as it is; what is freed in small pieces stays
    const target = used - 64 * MEBIBYTE;
    await until("the memory to come back", async () => (await group.held()) < target || undefined);
    // kubelet lowers it when it is no more in use
    await group.limit(LIMIT + OVERHEAD);
    expect(await group.kills()).toBe(0);
  }, 300_000);
});
