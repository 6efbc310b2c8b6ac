/** What the daemon knows of the keeper's children, in whatever order it hears of them. */
import { describe, expect, it } from "vitest";
import { KeeperProcesses } from "../../../src/host/keeper/processes.ts";

const FIRST = { pid: 10, startTime: 1 };
const SECOND = { pid: 11, startTime: 2 };

describe("an id that is given again", () => {
  it("is the later process's, though the answer that the first is forgotten is read last", () => {
    const processes = new KeeperProcesses();
    processes.started("vm", FIRST);
    processes.ended({ id: "vm", code: -1, signal: 9 });
    const forgotten = processes.forgetting("vm");
    processes.started("vm", SECOND);
    forgotten();
    expect(processes.inventory()).toEqual([{ id: "vm", identity: SECOND }]);
  });

  it("has no end of the first", async () => {
    const processes = new KeeperProcesses();
    processes.started("vm", FIRST);
    const waited = processes.exited("vm");
    processes.started("vm", SECOND);
    await expect(waited).rejects.toMatchObject({ code: "ProcessNotFound" });
    processes.ended({ id: "vm", code: 3, signal: 0 });
    expect(await processes.exited("vm")).toMatchObject({ code: 3 });
  });
});

describe("a process that ends at once", () => {
  it("keeps its end, though the answer to its start is read later, or twice", async () => {
    const processes = new KeeperProcesses();
    processes.ended({ id: "vm", code: 7, signal: 0 });
    for (let times = 0; times < 2; times++) processes.started("vm", FIRST);
    expect(await processes.exited("vm")).toMatchObject({ code: 7 });
    processes.forgetting("vm")();
    expect(processes.inventory()).toEqual([]);
  });
});
