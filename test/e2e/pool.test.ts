/** The warm pool through the real containerd: adopted VMs are as good as booted ones. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { processesOf } from "../../lab/host/processes.ts";
import { until } from "../../lab/host/until.ts";
import { TestNode, type TestPod } from "../support/e2e/node.ts";

let node: TestNode;

beforeAll(async () => {
  node = await TestNode.start({ config: { pool: { min: 1, max: 2 }, template: { enabled: true } } });
});

afterEach(async () => {
  await node.stopAll();
  // the pool's own VMs are there to stay
  expect((await node.leftovers()).filter(({ what }) => !what.includes("/pool-"))).toEqual([]);
});

afterAll(() => node.stop());

/** Waits for so many warm VMs, as blazard's own figures tell of them. */
async function warm(count: number): Promise<void> {
  await until(`${count} warm VMs`, async () => {
    const { pool } = (await node.node.metrics()).parts as { readonly pool: { readonly size: number } };
    return pool.size >= count ? true : undefined;
  });
}

async function sourceOf(pod: TestPod): Promise<string | undefined> {
  return (await node.cri.podSandboxStatus(pod.id, true)).info["boot"];
}

describe("a pod from the pool", () => {
  it("has its own host name, and runs what any other does", async () => {
    await warm(1);
    const pod = await node.runPod({ config: { hostname: "warm-0" } });
    expect(await sourceOf(pod)).toBe("pool");
    const container = await node.startContainer(pod, "hostname; exec sleep 1000");
    await node.waitForLog(container, "warm-0");
    expect((await node.exec(container, "cat /etc/hostname; exit 4")).code).toBe(4);
  });

  it("is not given a VM that has died", async () => {
    await warm(2);
    const vms = (await processesOf([node.node.directory])).filter(({ command }) =>
      command.includes("-name pool-"),
    );
    expect(vms.length).toBeGreaterThan(0);
    for (const { pid } of vms) process.kill(pid, "SIGKILL");
    const pod = await node.runPod();
    const container = await node.startContainer(pod, "echo alive; exec sleep 1000");
    await node.waitForLog(container, "alive");
  });
});
