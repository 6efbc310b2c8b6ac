/** The part of the keeper's suite about processes that it starts, and about their forks. */
import { expect, it, vi } from "vitest";
import { forkOf, identityOf, type KeeperBench, shell } from "./keeper-bench.ts";

export function processPromises(bench: () => KeeperBench): void {
  it("reports a process's exit code", async () => {
    const { keeper } = bench();
    const identity = await keeper.spawn(shell("vm", "exit 7"));
    expect(identity.pid).toBeGreaterThan(1);
    expect(await keeper.exited("vm")).toEqual({ id: "vm", code: 7, signal: 0 });
  });

  it("reports the signal that ended a process", async () => {
    const { keeper } = bench();
    await keeper.spawn(shell("vm", "sleep 60"));
    const exit = keeper.exited("vm");
    await keeper.signal("vm", 15);
    expect(await exit).toEqual({ id: "vm", code: -1, signal: 15 });
  });

  it("tells an unknown process from one that has ended", async () => {
    const { keeper } = bench();
    await keeper.spawn(shell("vm", "exit 0"));
    await keeper.exited("vm");
    await expect(keeper.signal("vm", 15)).rejects.toMatchObject({ code: "ProcessNotRunning" });
    await expect(keeper.signal("other", 15)).rejects.toMatchObject({ code: "ProcessNotFound" });
    await expect(keeper.exited("other")).rejects.toMatchObject({ code: "ProcessNotFound" });
  });

  it("seals a process as often as asked, one without a jail too, and none that has ended", async () => {
    const { keeper } = bench();
    await keeper.spawn(shell("vm", "sleep 60"));
    await keeper.seal("vm");
    await keeper.seal("vm");
    const exit = keeper.exited("vm");
    await keeper.signal("vm", 9);
    await exit;
    await expect(keeper.seal("vm")).rejects.toMatchObject({ code: "ProcessNotRunning" });
    await expect(keeper.seal("other")).rejects.toMatchObject({ code: "ProcessNotFound" });
  });

  it("frees a name by forgetting the ended process, and no sooner", async () => {
    const { keeper } = bench();
    await keeper.spawn(shell("vm", "sleep 60"));
    await expect(keeper.spawn(shell("vm", "exit 0"))).rejects.toMatchObject({ code: "ProcessExists" });
    await expect(keeper.forget("vm")).rejects.toMatchObject({ code: "IllegalTransition" });
    const exit = keeper.exited("vm");
    await keeper.signal("vm", 9);
    await exit;
    await keeper.forget("vm");
    await keeper.forget("vm");
    await keeper.spawn(shell("vm", "exit 4"));
    expect((await keeper.exited("vm")).code).toBe(4);
  });

  it("starts nothing for a caller that has given up", async () => {
    const { keeper } = bench();
    const started = keeper.spawn(shell("vm", "sleep 60"), AbortSignal.abort());
    await expect(started).rejects.toMatchObject({ code: "Cancelled" });
    expect(keeper.inventory().processes).toEqual([]);
  });

  it("leaves nothing of a start that was cancelled on its way", async () => {
    const { keeper } = bench();
    const giveUp = new AbortController();
    const started = keeper.spawn(shell("vm", "sleep 60"), giveUp.signal);
    giveUp.abort();
    await expect(started).rejects.toMatchObject({ code: "Cancelled" });
    await vi.waitFor(async () => {
      const again = await keeper.spawn(shell("vm", "sleep 60"));
      expect(again.pid).toBeGreaterThan(1);
    });
    expect(keeper.inventory().processes).toHaveLength(1);
  });

  it("keeps processes and exits for the next daemon", async () => {
    const { keeper } = bench();
    await keeper.spawn(shell("ended", "exit 5"));
    const running = await keeper.spawn(shell("running", "sleep 60"));
    await keeper.exited("ended");
    const next = await bench().restartDaemon();
    expect((await next.exited("ended")).code).toBe(5);
    expect(next.inventory().processes.find(({ id }) => id === "running")?.identity).toEqual(
      identityOf(running),
    );
    const exit = next.exited("running");
    await next.signal("running", 9);
    expect((await exit).signal).toBe(9);
  });

  it("makes taps for a process, each under a name that no other ever has", async () => {
    if (bench().taps !== true) return;
    const { keeper } = bench();
    const taps = [{ fd: 12 }, { fd: 20 }];
    const vms = [];
    for (const id of ["one", "two"]) {
      vms.push(await keeper.spawn({ ...shell(id, "sleep 60"), taps }));
      await keeper.signal(id, 9);
      await keeper.exited(id);
    }
    expect(vms.map((vm) => vm.taps.length)).toEqual([2, 2]);
    const parked = vms.flatMap((vm) => vm.taps);
    expect(new Set(parked.map(({ name }) => name)).size).toBe(4);
    expect(new Set(parked.map(({ namespace }) => namespace)).size).toBe(1);
    for (const { name } of parked) expect(name.length).toBeLessThan(16);
    expect((await keeper.spawn(shell("none", "sleep 60"))).taps).toEqual([]);
  });

  it("does not end while a process runs", async () => {
    const { keeper } = bench();
    await keeper.spawn(shell("vm", "sleep 60"));
    await expect(keeper.shutdown()).rejects.toMatchObject({ code: "IllegalTransition" });
    expect(keeper.connected).toBe(true);
  });
}

export function forkPromises(bench: () => KeeperBench): void {
  it("are processes like others, and go on without their original", async () => {
    const { keeper } = bench();
    const first = await keeper.spawn(bench().forkable("original"));
    const ids = ["one", "two", "three"];
    const forks = await Promise.all(ids.map((id) => keeper.fork(forkOf("original", id))));
    expect(new Set([first, ...forks].map(({ pid }) => pid)).size).toBe(4);
    await keeper.signal("two", 9);
    expect(await keeper.exited("two")).toEqual({ id: "two", code: -1, signal: 9 });
    await keeper.signal("original", 9);
    await keeper.exited("original");
    await keeper.signal("one", 15);
    expect(await keeper.exited("one")).toMatchObject({ signal: 15 });
  });

  it("are refused of what is unknown, cannot fork or has ended, and under a name that is taken", async () => {
    const { keeper } = bench();
    await expect(keeper.fork(forkOf("nobody", "fork"))).rejects.toMatchObject({ code: "ProcessNotFound" });
    await keeper.spawn(shell("plain", "sleep 60"));
    await expect(keeper.fork(forkOf("plain", "fork"))).rejects.toMatchObject({ code: "ProcessNotRunning" });
    await expect(keeper.fork(forkOf("plain", "plain"))).rejects.toMatchObject({ code: "ProcessExists" });
    await keeper.spawn(bench().forkable("original"));
    await keeper.signal("original", 9);
    await keeper.exited("original");
    await expect(keeper.fork(forkOf("original", "late"))).rejects.toMatchObject({
      code: "ProcessNotRunning",
    });
    expect(keeper.inventory().processes.map(({ id }) => id)).toEqual(["plain", "original"]);
  });

  it("are not made for a caller that has given up", async () => {
    const { keeper } = bench();
    await keeper.spawn(bench().forkable("original"));
    const forked = keeper.fork(forkOf("original", "fork"), AbortSignal.abort());
    await expect(forked).rejects.toMatchObject({ code: "Cancelled" });
    expect(keeper.inventory().processes.map(({ id }) => id)).toEqual(["original"]);
  });

  it("leave nothing when they are cancelled on their way", async () => {
    const { keeper } = bench();
    await keeper.spawn(bench().forkable("original"));
    const giveUp = new AbortController();
    const forked = keeper.fork(forkOf("original", "fork"), giveUp.signal);
    giveUp.abort();
    await expect(forked).rejects.toMatchObject({ code: "Cancelled" });
    await vi.waitFor(async () => {
      const again = await keeper.fork(forkOf("original", "fork"));
      expect(again.pid).toBeGreaterThan(1);
    });
    expect(keeper.inventory().processes).toHaveLength(2);
  });

  it("have taps of their own in the places of their original's", async () => {
    if (bench().taps !== true) return;
    const { keeper } = bench();
    const original = await keeper.spawn({ ...bench().forkable("original"), taps: [{ fd: 20 }] });
    const words = ["", "", "0", "", "", "tap:20"];
    const forks = ["one", "two"].map((id) => keeper.fork({ ...forkOf("original", id, words), taps: 1 }));
    const parked = [original, ...(await Promise.all(forks))].flatMap(({ taps }) => taps);
    expect(new Set(parked.map(({ name }) => name)).size).toBe(3);
  });

  it("are there for the next daemon", async () => {
    await bench().keeper.spawn(bench().forkable("original"));
    const forked = await bench().keeper.fork(forkOf("original", "fork"));
    const next = await bench().restartDaemon();
    expect(next.inventory().processes.find(({ id }) => id === "fork")?.identity).toEqual(identityOf(forked));
    await next.signal("fork", 9);
    expect((await next.exited("fork")).signal).toBe(9);
  });
}
