/** The warm pool hands out only VMs that answer, and reserves each for one sandbox. */
import { afterEach, describe, expect, it, vi } from "vitest";
import type { SandboxRuntime } from "../../../../src/actors/sandbox/sandbox.actor.ts";
import { Pool } from "../../../../src/actors/supply/pool.actor.ts";
import { MemoryHost } from "../../../support/memory-host/host.ts";

const SETTINGS = {
  min: 2,
  max: 2,
  memoryLimit: 1 << 30,
  rehearsalRoot: "/rehearsal",
  pressureLimit: 100,
  pressure: async () => undefined,
};

let pool: Pool | undefined;

afterEach(() => pool?.close());

async function warmPool() {
  const memory = new MemoryHost({
    guest: () => ({ script: ({ args }) => (args[0] === "/bin/true" ? { exit: 0 } : {}) }),
  });
  pool = new Pool(memory.host, SETTINGS);
  pool.start();
  const { defaultVcpus: vcpus, defaultMemoryBytes: memoryBytes } = memory.host;
  await vi.waitFor(() => expect(pool?.isFull).toBe(true), { timeout: 5_000 });
  const guestOf = ({ id }: SandboxRuntime) => memory.driver.vm(id).guest;
  const pings = (runtime: SandboxRuntime) =>
    guestOf(runtime).requests.filter(({ op }) => op === "ping").length;
  return { memory, pool, shape: { vcpus, memoryBytes }, guestOf, pings };
}

describe("the warm pool", () => {
  it("asks a VM whether it is alive when it is taken", async () => {
    const { pool, shape, pings } = await warmPool();
    const taken = await pool.take(shape);
    expect(taken && pings(taken)).toBe(1);
    await taken?.destroy();
  });

  it("reserves each VM for one sandbox, and asks it nothing", async () => {
    const { pool, shape, pings } = await warmPool();
    const reserved = [pool.reserve(shape), pool.reserve(shape), pool.reserve(shape)];
    expect(reserved.map((each) => each && pings(each))).toEqual([0, 0, undefined]);
    expect(reserved[0]).not.toBe(reserved[1]);
    await Promise.all(reserved.map((each) => each?.destroy()));
  });

  it("reserves none of another shape", async () => {
    const { pool, shape } = await warmPool();
    expect(pool.reserve({ ...shape, vcpus: shape.vcpus + 1 })).toBeUndefined();
    expect(pool.size).toBe(2);
  });

  it("ends one that did not answer, and hands out the next", async () => {
    const { memory, pool, shape, guestOf } = await warmPool();
    const [first, second] = memory.driver.launches.map(({ id }) => memory.driver.vm(id));
    if (first === undefined || second === undefined) throw new Error("two VMs were launched");
    first.guest.faults.hangs = new Set(["ping"]);
    const taken = await pool.take(shape);
    expect(taken && guestOf(taken)).toBe(second.guest);
    await vi.waitFor(() => expect(memory.driver.running).not.toContain(first.id));
    await taken?.destroy();
  });
});
