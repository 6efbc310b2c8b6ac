/** A warm VM becomes a pod's own: with its network, in its journal, undone in one step each. */
import { describe, expect, it, vi } from "vitest";
import { type HostFault, MemoryHost } from "../../../support/memory-host/host.ts";
import { podNetwork, podSpec } from "../../../support/memory-host/pods.ts";
import { rehearsable, WarmStock } from "../../../support/memory-host/warm-stock.ts";

const pod = podSpec("pod-1", { netnsPath: "/run/netns/pod-1" });

async function created(...faults: readonly HostFault[]) {
  const memory = new MemoryHost({ guest: () => rehearsable });
  const stock = await WarmStock.of(memory, 1);
  for (const fault of faults) memory.faults.add(fault);
  await stock.actors.sandboxes.create(pod);
  const fail = (fault: HostFault) => memory.faults.add(fault);
  return { memory, stock, sandboxes: stock.actors.sandboxes, fail };
}

describe("a pod that adopts a warm VM", () => {
  it("is connected to its network when it is ready, and leaves it on its own", async () => {
    const { memory, stock, sandboxes } = await created();
    await sandboxes.start(pod.id);
    expect(sandboxes.status(pod.id).info).toMatchObject({ boot: "pool", vm: stock.ids[0] });
    expect(memory.remains()).toContain("network pod-1");
    await sandboxes.stop(pod.id, 0);
    expect(memory.remains()).not.toContain("network pod-1");
    await stock.end();
    expect(memory.remains()).toEqual([]);
  });

  it("is connected while it is made, and leaves nothing if it is never started", async () => {
    const { memory, stock, sandboxes } = await created();
    await vi.waitFor(() => expect(memory.remains()).toContain("network pod-1"));
    await sandboxes.stop(pod.id, 0);
    expect(memory.remains()).not.toContain("network pod-1");
    await stock.end();
    expect(memory.remains()).toEqual([]);
  });

  it("is connected anew, to another VM, if the one that it was promised has died", async () => {
    const { memory, stock, sandboxes } = await created();
    const connect = vi.spyOn(memory.networks, "connect");
    const disconnect = vi.spyOn(memory.networks, "disconnect");
    await vi.waitFor(() => expect(memory.remains()).toContain("network pod-1"));
    await stock.kill();
    await sandboxes.start(pod.id);
    expect(sandboxes.status(pod.id).info["vm"]).not.toBe(stock.ids[0]);
    expect(disconnect.mock.invocationCallOrder[0]).toBeLessThan(connect.mock.invocationCallOrder[0] ?? 0);
    expect(memory.remains()).toContain("network pod-1");
    await stock.end();
    expect(memory.remains()).toEqual([]);
  });

  it("follows what has changed since its network was read", async () => {
    const { memory, stock, sandboxes } = await created();
    const [guest] = stock.guests;
    memory.networks.put(pod.netnsPath, podNetwork(1, "10.77"));
    await sandboxes.start(pod.id);
    await vi.waitFor(() =>
      expect(guest?.requests.filter(({ op }) => op === "network.apply").at(-1)).toMatchObject({
        params: { network: podNetwork(1, "10.77") },
      }),
    );
    await stock.end();
  });

  it("holds what the VM held, in its own journal; the VM's is gone", async () => {
    const { memory, stock, sandboxes } = await created();
    const [warm = ""] = stock.ids;
    const heldBy = (id: string) =>
      (memory.journals.get(id)?.outstanding() ?? []).map(({ resource }) => resource);
    const held = heldBy(warm);
    expect(held.map(({ kind }) => kind)).toContain("process");
    await sandboxes.start(pod.id);
    expect(memory.journals.has(warm)).toBe(false);
    expect(heldBy(pod.id)).toEqual(expect.arrayContaining(held));
    await stock.end();
    expect(memory.remains()).toEqual([]);
  });

  it("does not start without its network, and leaves nothing", async () => {
    const { memory, stock, sandboxes } = await created("connectNetwork");
    await expect(sandboxes.start(pod.id)).rejects.toMatchObject({ code: "HostResource" });
    await stock.end();
    expect(memory.remains()).toEqual([]);
  });

  it("gives the network back later if it can't at once", async () => {
    const { memory, stock, sandboxes, fail } = await created();
    await sandboxes.start(pod.id);
    fail("disconnectNetwork");
    await sandboxes.stop(pod.id, 0);
    await stock.end();
    expect(memory.remains()).toEqual([]);
  });
});
