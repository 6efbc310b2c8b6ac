/** The part of the keeper's suite about its death, and about the keeper that takes its place. */
import { expect, it, vi } from "vitest";
import {
  forkOf,
  identityOf,
  type KeeperBench,
  StdioRecorder,
  shell,
  ttrpc,
  ttrpcText,
} from "./keeper-bench.ts";

export function deathPromises(bench: () => KeeperBench): void {
  it("leaves processes to the next keeper, which does not know how they end", async () => {
    const { keeper } = bench();
    const vm = await keeper.spawn(shell("vm", "sleep 60"));
    const exit = keeper.exited("vm");
    await bench().killKeeper();
    expect(keeper.deaths).toBe(1);
    expect(keeper.inventory().processes).toEqual([{ id: "vm", identity: identityOf(vm) }]);
    await keeper.signal("vm", 9);
    expect(await exit).toEqual({ id: "vm", code: -1, signal: 0 });
    await keeper.forget("vm");
    await keeper.spawn(shell("vm", "exit 3"));
    expect((await keeper.exited("vm")).code).toBe(3);
  });

  it("is survived as often as it happens, also by what is known to have ended", async () => {
    const { keeper } = bench();
    await keeper.spawn(shell("ended", "exit 5"));
    await keeper.exited("ended");
    const vm = await keeper.spawn(shell("vm", "sleep 60"));
    for (let deaths = 1; deaths <= 3; deaths++) {
      await bench().killKeeper();
      expect(keeper.deaths).toBe(deaths);
      await keeper.adopt("vm", identityOf(vm));
    }
    expect((await keeper.exited("ended")).code).toBe(5);
    await keeper.forget("ended");
    await keeper.signal("vm", 9);
    expect((await keeper.exited("vm")).code).toBe(-1);
    await keeper.forget("vm");
    expect(keeper.inventory()).toEqual({ processes: [], stdio: [] });
  });

  it("is told before anything comes of the next one, and takes stdio and Task connections along", async () => {
    const { keeper } = bench();
    const told: string[] = [];
    keeper.onDeath(() => told.push("death"));
    keeper.onTaskMessage(async (message, { replayed }) => {
      told.push(replayed ? "replayed" : "call");
      return ttrpc(ttrpcText(message), 2);
    });
    const recorder = new StdioRecorder();
    const paths = await bench().fifos("c", ["stdin", "stdout"]);
    const stdio = await keeper.openStdio("c", paths, recorder);
    await recorder.acked("stdout", 0);
    await bench().killKeeper();
    expect([told, recorder.losses]).toEqual([["death"], 1]);
    expect(keeper.inventory().stdio).toEqual([]);
    stdio.data("stdout", 0, Buffer.from("nobody reads this"));
    stdio.end("stdout", 17);
    stdio.acknowledgeInput(0, 100);
    await stdio.closeInput();
    await stdio.close();
    const caller = await bench().connectTask();
    expect(ttrpcText(await caller.call(ttrpc("State")))).toBe("State");
    expect(told).toEqual(["death", "call"]);
    caller.close();
    const another = new StdioRecorder();
    const { stdout } = await bench().fifos("d", ["stdout"]);
    const next = await keeper.openStdio("d", { stdin: "", stdout, stderr: "" }, another);
    await another.acked("stdout", 0);
    next.data("stdout", 0, Buffer.from("read"));
    next.end("stdout", 4);
    expect(await bench().readToEnd(stdout)).toBe("read");
    await next.close();
  });

  it("makes no process forkable for the next one", async () => {
    const { keeper } = bench();
    await keeper.spawn(bench().forkable("original"));
    await bench().killKeeper();
    await expect(keeper.fork(forkOf("original", "fork"))).rejects.toMatchObject({
      code: "ProcessNotRunning",
    });
    await keeper.signal("original", 9);
  });

  it("does not end the watch of a network", async () => {
    const network = bench().network();
    if (network === undefined) return;
    const changed = vi.fn();
    await bench().keeper.watchNetwork("pod", network.path, changed);
    await bench().killKeeper();
    // nobody has looked meanwhile
    await vi.waitFor(() => expect(changed).toHaveBeenCalled());
    changed.mockClear();
    await vi.waitFor(() => {
      network.change();
      expect(changed).toHaveBeenCalled();
    });
    await bench().keeper.unwatchNetwork("pod");
  });
}
