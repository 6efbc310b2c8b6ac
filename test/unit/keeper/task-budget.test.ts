/** What may wait in all Task connections together, and whose turn it is when that is used up. */
import { describe, expect, it } from "vitest";
import { SMALL_TASK_BYTES, TaskBudget } from "../../../keeper/tasks/task-budget.ts";

const MOST = 1_000_000;

/** A connection that wants to read on, and does as soon as it may. */
class Connection {
  told = 0;
  unfinished = false;

  constructor(private readonly budget: TaskBudget) {}

  roomAgain(): void {
    this.told++;
  }

  holds(bytes: number): this {
    this.budget.holds(this, bytes, this.unfinished);
    return this;
  }

  get mayRead(): boolean {
    return this.budget.allows(this, this.unfinished);
  }
}

describe("the budget of Task connections", () => {
  it("stops who holds much when it is used up, and nobody who holds little", () => {
    const budget = new TaskBudget(MOST);
    const [large, other, small] = [new Connection(budget), new Connection(budget), new Connection(budget)];
    large.holds(MOST - 100_000);
    expect(large.mayRead).toBe(true);
    other.holds(100_000);
    small.holds(SMALL_TASK_BYTES - 1);
    expect([large.mayRead, other.mayRead, small.mayRead]).toEqual([false, false, true]);
  });

  it("tells those it has stopped when there is room again", () => {
    const budget = new TaskBudget(MOST);
    const [large, other] = [new Connection(budget), new Connection(budget)];
    large.holds(MOST);
    other.holds(100_000);
    expect(other.mayRead).toBe(false);
    large.holds(10);
    expect(other.told).toBeGreaterThan(0);
    expect(other.mayRead).toBe(true);
  });

  it("lets one at a time finish what it is in the middle of, so that halves alone never stop everybody", () => {
    const budget = new TaskBudget(MOST);
    const halves = [1, 2, 3].map(() => new Connection(budget));
    for (const half of halves) Object.assign(half, { unfinished: true }).holds(MOST / 2);
    const reading = () => halves.map((each) => each.mayRead);
    expect(reading()).toEqual([true, false, false]);
    const [first, second, third] = halves as [Connection, Connection, Connection];
    first.unfinished = false;
    first.holds(MOST / 2);
    expect(second.told).toBeGreaterThan(0);
    expect(second.mayRead).toBe(true);
    expect(reading()).toEqual([false, true, false]);
    budget.forget(second);
    budget.forget(first);
    expect(third.mayRead).toBe(true);
    expect(budget.bytes).toBe(MOST / 2);
  });
});
