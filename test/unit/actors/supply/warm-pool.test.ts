/** The warm pool hands out only VMs that answer, and reserves each for one sandbox. */
import { afterEach, describe, expect, it, vi } from "vitest";
import type { GuestVm } from "../../../../src/actors/vm/guest-vm.ts";
import { MemoryHost } from "../../../support/memory-host/host.ts";
import { rehearsable, WarmStock } from "../../../support/memory-host/warm-stock.ts";

let stock: WarmStock | undefined;

afterEach(async () => {
  await stock?.end();
  stock = undefined;
});

async function warmPool() {
  const memory = new MemoryHost({ guest: () => rehearsable });
  stock = await WarmStock.of(memory, 2);
  const { pool } = stock.actors;
  const guestOf = ({ id }: GuestVm) => memory.driver.vm(id).guest;
  const pings = (vm: GuestVm) => guestOf(vm).requests.filter(({ op }) => op === "ping").length;
  return { memory, pool, shape: memory.ports.defaultShape, guestOf, pings };
}

describe("the warm pool", () => {
  it("asks a VM whether it is alive when it is taken", async () => {
    const { pool, shape, pings } = await warmPool();
    const taken = await pool.take({ shape });
    expect(taken && pings(taken)).toBe(1);
    await taken?.destroy();
  });

  it("reserves each VM for one sandbox, and asks it nothing", async () => {
    const { pool, shape, pings } = await warmPool();
    const reserved = [pool.reserve({ shape }), pool.reserve({ shape }), pool.reserve({ shape })];
    expect(reserved.map((each) => each && pings(each))).toEqual([0, 0, undefined]);
    expect(reserved[0]).not.toBe(reserved[1]);
    await Promise.all(reserved.map((each) => each?.destroy()));
  });

  it("reserves none of another shape", async () => {
    const { pool, shape } = await warmPool();
    expect(pool.reserve({ shape: { ...shape, vcpus: shape.vcpus + 1 } })).toBeUndefined();
    expect(pool.size).toBe(2);
  });

  it("makes VMs of the sizes that pods ask for, also in the place of others", async () => {
    const memory = new MemoryHost({ guest: () => rehearsable });
    const { pool, demand } = memory.actors({ max: 2 });
    const shapes = () => memory.driver.running.map((id) => memory.driver.vm(id).spec.memoryBytes);
    const { vcpus, memoryBytes, nics } = memory.ports.defaultShape;
    pool.start();
    await vi.waitFor(() => expect(pool.size).toBe(2), { timeout: 5_000 });
    expect(shapes()).toEqual([memoryBytes, memoryBytes]);
    const large = { vcpus, memoryBytes: 2 * memoryBytes, nics };
    for (let pods = 0; pods < 3; pods++) {
      demand.note(large);
      expect(pool.reserve({ shape: large })).toBeUndefined();
      await vi.waitFor(() => expect(pool.size).toBeLessThan(2));
    }
    await vi.waitFor(() => expect(shapes()).toContain(large.memoryBytes), { timeout: 5_000 });
    await vi.waitFor(() => expect(pool.size).toBe(2), { timeout: 5_000 });
    const reserved = pool.reserve({ shape: large });
    expect(reserved?.shape).toMatchObject(large);
    await Promise.all([reserved?.destroy(), pool.close()]);
    expect(memory.remains()).toEqual([]);
  });

  it("ends one that did not answer, and hands out the next", async () => {
    const { memory, pool, shape, guestOf } = await warmPool();
    const [first, second] = memory.driver.running.map((id) => memory.driver.vm(id));
    if (first === undefined || second === undefined) throw new Error("two VMs were launched");
    first.guest.faults.hangs = new Set(["ping"]);
    const taken = await pool.take({ shape });
    expect(taken && guestOf(taken)).toBe(second.guest);
    await vi.waitFor(() => expect(memory.driver.running).not.toContain(first.id));
    await taken?.destroy();
  });

  it("can be closed without having been started", async () => {
    const { pool } = new MemoryHost().actors({ min: 1, max: 1 });
    await pool.close();
    expect(pool.size).toBe(0);
  });

  it("closes in time though a VM does not end, which is undone when it does", async () => {
    vi.useFakeTimers();
    try {
      const memory = new MemoryHost({ guest: () => rehearsable });
      const { pool } = memory.actors({ min: 1, max: 1 });
      pool.start();
      while (!pool.isFull) await vi.advanceTimersByTimeAsync(50);
      const vm = memory.driver.vm(memory.driver.running[0] ?? "");
      vm.faults.unkillable = true;
      await Promise.all([pool.close(), vi.advanceTimersByTimeAsync(memory.ports.deadlines.drainAhead)]);
      vm.die(-1, 9);
      await vi.advanceTimersByTimeAsync(1_000);
      expect(memory.remains()).toEqual([]);
    } finally {
      vi.useRealTimers();
    }
  });

  it("gives up a VM whose agent never says hello, and leaves nothing of it", async () => {
    vi.useFakeTimers();
    try {
      const memory = new MemoryHost({ faults: () => ({ agentLink: "silent" }) });
      const { pool } = memory.actors({ min: 1, max: 1 });
      pool.start();
      await vi.advanceTimersByTimeAsync(10);
      expect(memory.ports.pace.starts.running).toBe(1);
      const { firstSign, agentHello } = memory.ports.deadlines;
      await vi.advanceTimersByTimeAsync(2 * firstSign + 100);
      const replaced = "the VM that booted is ended and another one boots";
      expect(memory.logger.lines.map(({ message }) => message)).toEqual([replaced, replaced]);
      await vi.advanceTimersByTimeAsync(agentHello);
      expect(memory.logger.lines).toContainEqual(
        expect.objectContaining({
          message: "a warm VM could not be made",
          fields: expect.objectContaining({ err: expect.objectContaining({ code: "GuestNotReady" }) }),
        }),
      );
      await Promise.all([pool.close(), vi.advanceTimersByTimeAsync(1_000)]);
      expect(memory.remains()).toEqual([]);
    } finally {
      vi.useRealTimers();
    }
  });
});
