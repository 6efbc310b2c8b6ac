/**
 * Pods in control groups as kubelet makes them: limit and overhead of the shipped RuntimeClass. The guest's limit is met
 * first, never the host's.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { PodCgroup } from "../../lab/host/pod-cgroup.ts";
import { until } from "../../lab/host/until.ts";
import { ContainerState } from "../../src/rpc/generated/runtime/v1/cri.ts";
import { type TestContainer, TestNode, type TestPod } from "../support/e2e/node.ts";

const MEBIBYTE = 2 ** 20;
/** The smallest and the largest in `npm test`; `BLAZAR_ALL_SIZES=1` asks for all. */
const isWhole = process.env["BLAZAR_ALL_SIZES"] === "1";
const SIZES = isWhole ? [64, 128, 256, 512, 1024] : [64, 1024];
const OVERRUN = isWhole ? [64, 512] : [64];
let node: TestNode;
let overhead: number;
const groups: PodCgroup[] = [];

beforeAll(async () => {
  const text = await readFile(join(process.cwd(), "deploy/kubernetes/runtimeclass.yaml"), "utf8");
  overhead = Number(/memory: "(\d+)Mi"/.exec(text)?.[1]) * MEBIBYTE;
  node = await TestNode.start();
});

afterEach(async () => {
  await node.stopAll();
  for (const group of groups.splice(0)) await group.remove();
  expect(await node.leftovers()).toEqual([]);
});

afterAll(() => node.stop());

/** A pod of one container with this limit, as kubelet asks for it. */
async function podOf(limit: number, overheadBytes = overhead): Promise<{ pod: TestPod; group: PodCgroup }> {
  const group = await PodCgroup.make(`blazar-test-${process.pid}-${groups.length}`, limit + overheadBytes);
  groups.push(group);
  const linux = {
    cgroupParent: group.path,
    resources: { memoryLimitInBytes: BigInt(limit) },
    overhead: { memoryLimitInBytes: BigInt(overheadBytes) },
  };
  return { pod: await node.runPod({ config: { linux } }), group };
}

function startLimited(pod: TestPod, command: string, limit: number): Promise<TestContainer> {
  const resources = { memoryLimitInBytes: BigInt(limit) };
  return node.startContainer(pod, command, { linux: { resources } });
}

/** Has so many bytes in memory at once: dd(1) reads a block before it writes it. */
function fill(bytes: number): string {
  return `dd if=/dev/zero of=/dev/null bs=${bytes} count=1 2>&1 | tail -n 1`;
}

function ended(container: TestContainer) {
  return until(
    "the end of a container",
    async () => {
      const { status } = await node.cri.containerStatus(container.id);
      return status?.state === ContainerState.CONTAINER_EXITED ? status : undefined;
    },
    { timeoutMs: 200_000 },
  );
}

describe("a container with a limit", () => {
  it.each(SIZES)(
    "of %i MiB uses 95 percent of it, after it has filled page caches",
    async (limit) => {
      const { pod, group } = await podOf(limit * MEBIBYTE);
      const bytes = Math.floor(limit * 0.95) * MEBIBYTE;
      const files = `dd if=/dev/zero of=/big bs=1M count=${Math.min(limit, 256)} 2>/dev/null`;
      const container = await startLimited(pod, `${files}; ${fill(bytes)}`, limit * MEBIBYTE);
      const { exitCode, reason } = await ended(container);
      expect((await node.readLog(container)).map(({ text }) => text)).toEqual(["1+0 records out"]);
      expect({ exitCode, reason, kills: await group.kills() }).toEqual({
        exitCode: 0,
        reason: "Completed",
        kills: 0,
      });
    },
    300_000,
  );

  it.each(OVERRUN)(
    "of %i MiB that uses more is killed in the guest, and the pod goes on",
    async (limit) => {
      const { pod, group } = await podOf(limit * MEBIBYTE);
      const container = await startLimited(pod, "exec tail /dev/zero", limit * MEBIBYTE);
      const { exitCode, reason } = await ended(container);
      expect({ exitCode, reason, kills: await group.kills() }).toEqual({
        exitCode: 137,
        reason: "OOMKilled",
        kills: 0,
      });
      const next = await startLimited(pod, "echo alive", limit * MEBIBYTE);
      expect(await ended(next)).toMatchObject({ exitCode: 0, reason: "Completed" });
    },
    300_000,
  );
});

describe("a container in a copy of a template", () => {
  it.each(["clone", "fork"])(
    "uses 95 percent of its limit, also if the VM is a %s: nothing counts twice",
    async (source) => {
      await node.node.restartBlazard({ config: { template: { enabled: true, fork: source === "fork" } } });
      const limit = 256 * MEBIBYTE;
      const copied = async () => {
        const { pod, group } = await podOf(limit);
        const { info } = await node.cri.podSandboxStatus(pod.id, true);
        if (info["source"] === source) return { pod, group };
        await node.removePod(pod);
        await group.remove();
        groups.splice(groups.indexOf(group), 1);
        return undefined;
      };
      const { pod, group } = await until("a copy", copied, { timeoutMs: 120_000, pollMs: 3_000 });
      const bytes = Math.floor(256 * 0.95) * MEBIBYTE;
      const files = "dd if=/dev/zero of=/big bs=1M count=256 2>/dev/null";
      const container = await startLimited(pod, `${files}; ${fill(bytes)}`, limit);
      expect(await ended(container)).toMatchObject({ exitCode: 0, reason: "Completed" });
      expect(await group.kills()).toBe(0);
    },
    300_000,
  );
});

describe("a pod with too little overhead", () => {
  it("says what it has and needs, and its containers are killed in the guest", async () => {
    const { pod, group } = await podOf(384 * MEBIBYTE, 64 * MEBIBYTE);
    const { info } = await node.cri.podSandboxStatus(pod.id, true);
    expect(JSON.stringify(info)).toMatch(
      /overhead\.podFixed\.memory of its RuntimeClass to \d+Mi, it is 64Mi/,
    );
    const container = await startLimited(pod, "exec tail /dev/zero", 384 * MEBIBYTE);
    expect(await ended(container)).toMatchObject({ exitCode: 137, reason: "OOMKilled" });
    expect(await group.kills()).toBe(0);
  }, 200_000);

  it("is refused with a sentence if no VM fits", async () => {
    await expect(podOf(64 * MEBIBYTE, 64 * MEBIBYTE)).rejects.toThrow(/set overhead\.podFixed\.memory/);
  });
});
