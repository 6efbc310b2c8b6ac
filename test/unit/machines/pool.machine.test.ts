/** The pool's chart alone: stubbed effects, simulated time. */
import { describe, expect, it } from "vitest";
import { createActor, fromPromise, SimulatedClock } from "xstate";
import { DEFAULT_DEADLINES } from "../../../src/contracts/deadlines.ts";
import { poolMachine } from "../../../src/machines/pool.machine.ts";

const settle = () => new Promise((resolve) => setImmediate(resolve));

function bench(min: number, max: number) {
  const clock = new SimulatedClock();
  const calls: string[] = [];
  const open: Record<string, { resolve: () => void; reject: (error: unknown) => void } | undefined> = {};
  const aborted: string[] = [];
  const wait = (name: string) =>
    new Promise<void>((resolve, reject) => {
      calls.push(name);
      open[name.split(" ")[0] ?? ""] = { resolve, reject };
    });
  const actor = createActor(
    poolMachine.provide({
      actors: {
        awaitPause: fromPromise<void, { readonly urgent: boolean }>(({ input }) =>
          wait(input.urgent ? "pause urgent" : "pause"),
        ),
        fill: fromPromise<void, undefined>(({ signal }) => {
          signal.addEventListener("abort", () => aborted.push("fill"));
          return wait("fill");
        }),
        drain: fromPromise<void, undefined>(() => wait("drain")),
      },
    }),
    { input: { min, max, intervalMs: 100, deadlines: DEFAULT_DEADLINES }, clock },
  );
  actor.start();
  const done = async (name: string, error?: unknown) => {
    const waiting = open[name];
    open[name] = undefined;
    if (waiting === undefined) throw new Error(`${name} is not under way: ${calls.join(", ")}`);
    if (error === undefined) waiting.resolve();
    else waiting.reject(error);
    await settle();
  };
  const fillOne = async () => {
    await done("pause");
    await done("fill");
  };
  return { actor, aborted, calls, clock, done, fillOne };
}

describe("the pool", () => {
  it("stays empty where none is wanted", () => {
    const { actor, calls } = bench(0, 0);
    expect([actor.getSnapshot().value, calls]).toEqual(["empty", []]);
  });

  it("fills up to max, one at a time, and presses only below min", async () => {
    const { actor, calls, fillOne } = bench(1, 2);
    await fillOne();
    await fillOne();
    expect(actor.getSnapshot()).toMatchObject({ value: "warm", context: { size: 2 } });
    expect(calls).toEqual(["pause urgent", "fill", "pause", "fill"]);
  });

  it("makes up for what was taken or has died", async () => {
    const { actor, fillOne } = bench(0, 1);
    await fillOne();
    actor.send({ type: "pool.lost", count: 1 });
    expect(actor.getSnapshot()).toMatchObject({ value: { filling: "waiting" }, context: { size: 0 } });
    await fillOne();
    expect(actor.getSnapshot().value).toBe("warm");
  });

  it("counts what is taken while it fills", async () => {
    const { actor, done, fillOne } = bench(0, 2);
    await fillOne();
    await done("pause");
    actor.send({ type: "pool.lost", count: 1 });
    await done("fill");
    expect(actor.getSnapshot().context.size).toBe(1);
    expect(actor.getSnapshot().value).toEqual({ filling: "waiting" });
  });

  it("pauses longer after each failure, and starts afresh after a success", async () => {
    const { actor, clock, done } = bench(0, 1);
    await done("pause");
    await done("fill", new Error("no template"));
    expect(actor.getSnapshot().value).toEqual({ filling: "pausing" });
    clock.increment(199);
    expect(actor.getSnapshot().value).toEqual({ filling: "pausing" });
    clock.increment(1);
    await done("pause");
    await done("fill");
    expect(actor.getSnapshot()).toMatchObject({ value: "warm", context: { failures: 0 } });
  });

  it("drains under memory pressure and comes back after a while", async () => {
    const { actor, clock, done, fillOne } = bench(0, 1);
    await fillOne();
    actor.send({ type: "pool.pressure" });
    expect(actor.getSnapshot().value).toBe("draining");
    await done("drain");
    expect(actor.getSnapshot()).toMatchObject({ value: "relieved", context: { size: 0 } });
    clock.increment(100 * 2 ** 8);
    expect(actor.getSnapshot().value).toEqual({ filling: "waiting" });
  });

  it("tries another one when a VM is not made in time", async () => {
    const { actor, clock, done, aborted } = bench(0, 1);
    await done("pause");
    clock.increment(DEFAULT_DEADLINES.makeAhead);
    expect(actor.getSnapshot()).toMatchObject({ value: { filling: "pausing" }, context: { failures: 1 } });
    expect(aborted).toEqual(["fill"]);
  });

  it.each([
    ["pool.pressure", "relieved"],
    ["pool.close", "closed"],
  ] as const)("leaves behind what does not end in time after %s", async (type, state) => {
    const { actor, clock, fillOne } = bench(0, 1);
    await fillOne();
    actor.send({ type });
    clock.increment(DEFAULT_DEADLINES.drainAhead);
    expect(actor.getSnapshot()).toMatchObject({ value: state, context: { size: 0 } });
  });

  it("closes from every state, for good", async () => {
    const { actor, done } = bench(0, 1);
    actor.send({ type: "pool.close" });
    await done("drain");
    actor.send({ type: "pool.pressure" });
    expect(actor.getSnapshot()).toMatchObject({ value: "closed", status: "done" });
  });
});
