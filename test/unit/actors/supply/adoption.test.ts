/** A warm VM becomes a pod's own: cgroup and network in one step each, undone in one step each. */
import { describe, expect, it } from "vitest";
import { SandboxRuntime } from "../../../../src/actors/sandbox/sandbox.actor.ts";
import { poolSpec } from "../../../../src/actors/supply/pool.actor.ts";
import { type HostFault, MemoryHost } from "../../../support/memory-host/host.ts";

const { signal } = new AbortController();

async function adopted(...faults: HostFault[]) {
  const memory = new MemoryHost();
  const warm = new SandboxRuntime(poolSpec("pool-1"), memory.host);
  await warm.warmUp(signal);
  memory.host.supply.pool = { reserve: () => warm, take: async () => undefined };
  const pod = new SandboxRuntime({ ...poolSpec("pod-1"), netnsPath: "/run/netns/pod-1" }, memory.host);
  await pod.provision(signal);
  await pod.acquire(signal);
  for (const fault of faults) memory.faults.add(fault);
  await pod.adopt(signal);
  return { memory, pod };
}

describe("a pod that takes a warm VM over", () => {
  it("is connected to its network when its guest is set up, and leaves it on its own", async () => {
    const { memory, pod } = await adopted();
    await pod.setUpGuest(signal);
    expect(memory.remains()).toContain("network pod-1");
    await pod.endVmm();
    await pod.tearDownNetwork();
    expect(memory.remains()).not.toContain("network pod-1");
    await pod.destroy();
    expect(memory.remains()).toEqual([]);
  });

  it("does not start without its network, and leaves nothing", async () => {
    const { memory, pod } = await adopted("connectNetwork");
    await expect(pod.setUpGuest(signal)).rejects.toMatchObject({ code: "HostResource" });
    await pod.destroy();
    expect(memory.remains()).toEqual([]);
  });

  it("gives the network back later if it can't at once", async () => {
    const { memory, pod } = await adopted("disconnectNetwork");
    await pod.setUpGuest(signal);
    await pod.endVmm();
    await expect(pod.tearDownNetwork()).rejects.toMatchObject({ code: "HostResource" });
    await pod.destroy();
    expect(memory.remains()).toEqual([]);
  });
});
