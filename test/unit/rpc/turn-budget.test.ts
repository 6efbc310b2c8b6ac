import { describe, expect, it } from "vitest";
import { TurnBudget } from "../../../src/rpc/turn-budget.ts";

/** A budget on a clock of its own; `turn` is the next turn of the loop. */
function setUp() {
  let clock = 0;
  let next: (() => void)[] = [];
  const done: string[] = [];
  const budget = new TurnBudget(
    () => clock,
    (callback) => next.push(callback),
  );
  const work = (name: string, ms: number) => async () => {
    clock += ms;
    done.push(name);
    return name;
  };
  const turn = () => {
    const callbacks = next;
    next = [];
    for (const callback of callbacks) callback();
  };
  return { budget, work, turn, done, pending: () => next.length };
}

describe("a turn's budget", () => {
  it("runs work at once while the turn is young", async () => {
    const { budget, work, done } = setUp();
    const first = budget.run(work("a", 0.5));
    const second = budget.run(work("b", 0.25));
    expect(done).toEqual(["a", "b"]);
    expect(await Promise.all([first, second])).toEqual(["a", "b"]);
  });

  it("puts off what comes when it is spent, in order, as much as each turn takes", async () => {
    const { budget, work, turn, done, pending } = setUp();
    const all = ["a", "b", "c", "d", "e"].map((name) => budget.run(work(name, 0.75)));
    expect(done).toEqual(["a", "b"]);
    turn();
    expect(done).toEqual(["a", "b", "c", "d"]);
    turn();
    expect(await Promise.all(all)).toEqual(["a", "b", "c", "d", "e"]);
    turn();
    expect(pending()).toBe(0);
  });

  it("lets nothing overtake what waits already", () => {
    const { budget, work, turn, done } = setUp();
    void budget.run(work("long", 10));
    void budget.run(work("waits", 5));
    turn();
    void budget.run(work("after it", 1));
    expect(done).toEqual(["long", "waits"]);
    turn();
    expect(done).toEqual(["long", "waits", "after it"]);
  });

  it("passes a failure on to its own caller only", async () => {
    const { budget, work, turn, done } = setUp();
    void budget.run(work("a", 3));
    const refused = budget.run(() => Promise.reject(new Error("no")));
    const next = budget.run(work("b", 1));
    turn();
    await expect(refused).rejects.toThrow("no");
    await next;
    expect(done).toEqual(["a", "b"]);
  });
});
