/**
 * Memory that a guest's programs have given up comes back to the host, whatever the VM was made of; a limit that is lowered
 * while the pod runs gives back what was cached.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { PodCgroup } from "../../lab/host/pod-cgroup.ts";
import { until } from "../../lab/host/until.ts";
import { TestNode, type TestPod } from "../support/e2e/node.ts";

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
      // dd(1) has a whole block in memory
      const use = `dd if=/dev/zero of=/dev/null bs=${TOUCHED} count=1 2>&1 | grep -c in; echo used; read line`;
      const before = await group.usage();
      const container = await node.startContainer(pod, use, { stdin: true });
      await node.waitForLog(container, "used");
      expect((await node.readLog(container)).map(({ text }) => text)).toEqual(["1", "used"]);
      const used = await group.usage();
      expect(used - before).toBeGreaterThan(0.9 * TOUCHED);
      const back = await until("the memory to come back", async () => {
        const now = await group.usage();
        return used - now > 0.9 * TOUCHED ? used - now : undefined;
      });
      expect(back).toBeGreaterThan(0.9 * TOUCHED);
    },
    300_000,
  );
});
