/** A pod's guest is set up while its sandbox is still being made; what comes to nothing leaves nothing. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { BOOT_ANNOTATION } from "../../../../src/actors/supply/vm-supply.ts";
import type { SandboxSpec } from "../../../../src/contracts/sandbox.ts";
import type { GuestFaults } from "../../../support/fake-guest/guest.ts";
import { MemoryHost } from "../../../support/memory-host/host.ts";
import { podSpec } from "../../../support/memory-host/pods.ts";
import { rehearsable, WarmStock } from "../../../support/memory-host/warm-stock.ts";

async function node(pass?: () => Promise<void>) {
  const memory = new MemoryHost({ guest: () => rehearsable });
  const stock = await WarmStock.of(memory, 1, pass);
  const { sandboxes } = stock.actors;
  const [warmId = ""] = stock.ids;
  const end = async () => {
    await stock.end();
    return memory.remains();
  };
  return { memory, stock, sandboxes, warmId, end };
}

const spec = (changes: Partial<SandboxSpec> = {}): SandboxSpec => podSpec("pod", changes);

const hung: GuestFaults = { hangs: new Set(["sandbox.setup"]) };

describe("a warm VM that is reserved for a pod", () => {
  it("sets the guest up before the start is asked for, with what the pod wants", async () => {
    const { stock, sandboxes, end } = await node();
    await sandboxes.create(spec({ hostname: "early" }));
    const [guest] = stock.guests;
    await vi.waitFor(() => expect(guest?.setup).toMatchObject({ sandboxId: "pod", hostname: "early" }));
    await sandboxes.start("pod");
    expect(sandboxes.status("pod").info).toMatchObject({ boot: "pool" });
    // once for the pool and once for the pod
    expect(guest?.requests.filter(({ op }) => op === "sandbox.setup")).toHaveLength(2);
    expect(await end()).toEqual([]);
  });

  it("moves the VM into the sandbox's control groups before the start is asked for", async () => {
    const { memory, sandboxes, warmId, end } = await node();
    await sandboxes.create(spec());
    expect(memory.groupOf(warmId)).toBe("/cgroup/pod");
    await sandboxes.start("pod");
    expect(await end()).toEqual([]);
  });

  it("does not start a pod whose VM cannot be moved there", async () => {
    const { memory, sandboxes, end } = await node();
    memory.faults.add("enterCgroup");
    await sandboxes.create(spec());
    await expect(sandboxes.start("pod")).rejects.toMatchObject({ code: "HostResource" });
    expect(await end()).toEqual([]);
  });

  it("is not given to a pod that asks for another boot", async () => {
    const { stock, sandboxes, end } = await node();
    await sandboxes.create(spec({ annotations: { [BOOT_ANNOTATION]: "cold" } }));
    await sandboxes.start("pod");
    expect(sandboxes.status("pod").info).toMatchObject({ boot: "cold" });
    expect(stock.left).toBe(1);
    expect(await end()).toEqual([]);
  });

  it("ends its VM with a sandbox that is never started", async () => {
    const { memory, stock, sandboxes, end } = await node();
    await sandboxes.create(spec());
    await sandboxes.shutdown("pod");
    expect(stock.left).toBe(0);
    expect(memory.driver.running).toEqual([]);
    expect(await end()).toEqual([]);
  });

  it("ends its VM with a sandbox that goes down while its guest does not answer", async () => {
    const { memory, stock, sandboxes, end } = await node();
    stock.fault(hung);
    await sandboxes.create(spec());
    await sandboxes.shutdown("pod");
    expect(memory.driver.running).toEqual([]);
    expect(await end()).toEqual([]);
  });

  it("gives a sandbox that cannot be made no VM to leave behind", async () => {
    const { memory, sandboxes, end } = await node();
    memory.faults.add("makeCgroup");
    await expect(sandboxes.create(spec())).rejects.toMatchObject({ code: "HostResource" });
    expect(memory.driver.running).toEqual([]);
    expect(await end()).toEqual([]);
  });

  it("gives way to another VM if the set-up is refused", async () => {
    const { memory, sandboxes, stock, end } = await node();
    stock.fault({ breaks: new Set(["sandbox.setup"]) });
    await sandboxes.create(spec({ netnsPath: "/run/netns/pod" }));
    await sandboxes.start("pod");
    expect(sandboxes.status("pod")).toMatchObject({ phase: "ready", info: { boot: "cold" } });
    expect(memory.driver.running).toEqual(["pod"]);
    expect(await end()).toEqual([]);
  });

  it("gives way to another VM if its own died before the start", async () => {
    const { memory, sandboxes, stock, end } = await node();
    await sandboxes.create(spec());
    await vi.waitFor(() => expect(stock.guests[0]?.setup?.sandboxId).toBe("pod"));
    await stock.kill();
    await sandboxes.start("pod");
    expect(sandboxes.status("pod")).toMatchObject({ phase: "ready", info: { boot: "cold" } });
    expect(memory.driver.running).toEqual(["pod"]);
    expect(await end()).toEqual([]);
  });

  describe("as time passes", () => {
    const tick = async () => {
      await vi.advanceTimersByTimeAsync(5);
    };

    beforeEach(() => {
      vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "Date", "performance"] });
    });
    afterEach(() => {
      vi.useRealTimers();
    });

    it("gives way to another VM if its guest hangs when the start comes late", async () => {
      const { memory, sandboxes, stock, end } = await node(tick);
      await sandboxes.create(spec());
      await vi.advanceTimersByTimeAsync(60_000);
      expect(stock.guests[0]?.setup?.sandboxId).toBe("pod");
      stock.fault({ hangs: new Set(["ping"]) });
      const started = sandboxes.start("pod");
      await vi.advanceTimersByTimeAsync(500);
      await started;
      expect(sandboxes.status("pod")).toMatchObject({ phase: "ready", info: { boot: "cold" } });
      expect(memory.driver.running).toEqual(["pod"]);
      expect(await end()).toEqual([]);
    });

    it("gives way to another VM if the guest takes too long, its network included", async () => {
      const { memory, sandboxes, stock, warmId, end } = await node(tick);
      stock.fault({ hangs: new Set(["sandbox.setup"]) });
      await sandboxes.create(spec({ netnsPath: "/run/netns/pod" }));
      const started = sandboxes.start("pod");
      await vi.advanceTimersByTimeAsync(1_999);
      expect(memory.driver.running).toEqual([warmId]);
      await vi.advanceTimersByTimeAsync(1);
      await started;
      expect(sandboxes.status("pod").phase).toBe("ready");
      expect(memory.remains().filter((name) => name === "network pod")).toHaveLength(1);
      expect(memory.driver.running).toEqual(["pod"]);
      expect(await end()).toEqual([]);
    });
  });
});

describe("the annotation for a way", () => {
  it("that names no way is refused, by its name and value, before there is a sandbox", async () => {
    const memory = new MemoryHost();
    const { sandboxes } = memory.actors();
    const spec = { ...podSpec("pod"), annotations: { [BOOT_ANNOTATION]: "nonsense" } };
    await expect(sandboxes.create(spec)).rejects.toThrow(
      'cannot read the pod\'s annotations (io.blazar.boot): "nonsense" is not one of pool, clone, cold',
    );
    expect(memory.remains()).toEqual([]);
  });
});
