/** The warm pool hands out only VMs that answer, and has asked already when a start is expected. */
import { afterEach, describe, expect, it, vi } from "vitest";
import { Pool } from "../../../src/actors/pool.actor.ts";
import type { SandboxRuntime } from "../../../src/actors/sandbox.actor.ts";
import { MemoryHost } from "../../support/memory-host.ts";

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
  it("asks a VM once whether it is alive, when its start is expected", async () => {
    const { pool, shape, pings } = await warmPool();
    pool.expect(shape);
    pool.expect(shape);
    const taken = [await pool.take(shape), await pool.take(shape)];
    expect(taken.map((each) => each && pings(each))).toEqual([1, 1]);
    await Promise.all(taken.map((each) => each?.destroy()));
  });

  it("asks one whose start nobody expected when it is taken", async () => {
    const { pool, shape, pings } = await warmPool();
    const taken = await pool.take(shape);
    expect(taken && pings(taken)).toBe(1);
    await taken?.destroy();
  });

  it("does not trust an answer that is old", async () => {
    const { memory, pool, shape, pings } = await warmPool();
    pool.expect(shape);
    vi.spyOn(memory.host, "now").mockImplementation(() => Date.now() + 60_000);
    const taken = await pool.take(shape);
    expect(taken && pings(taken)).toBe(2);
    await taken?.destroy();
  });

  it("ends one that did not answer, and hands out the next", async () => {
    const { memory, pool, shape, guestOf } = await warmPool();
    const [first, second] = memory.driver.launches.map(({ id }) => memory.driver.vm(id));
    if (first === undefined || second === undefined) throw new Error("two VMs were launched");
    first.guest.faults.hangs = new Set(["ping"]);
    pool.expect(shape);
    const taken = await pool.take(shape);
    expect(taken && guestOf(taken)).toBe(second.guest);
    await vi.waitFor(() => expect(memory.driver.running).not.toContain(first.id));
    await taken?.destroy();
  });
});
