/** The keeper's binary against the promises that the daemon builds on, and against what breaks others. */
import { execFile } from "node:child_process";
import { lstat, readFile, rm, writeFile } from "node:fs/promises";
import { createConnection } from "node:net";
import path from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { StdioBinding } from "../../../src/contracts/keeper.ts";
import { silentLogger } from "../../../src/contracts/logger.ts";
import { connectPatiently } from "../../../src/daemon/reach-keeper.ts";
import { connectKeeper } from "../../../src/host/keeper/client.ts";
import { startKeeper } from "../../../src/host/keeper/process.ts";
import { keeperBinary, RealKeeper } from "../../support/bench/keeper.ts";
import { CapturedLogger } from "../../support/captured-logger.ts";
import { describeKeeper } from "../../support/conformance/keeper.ts";
import { StdioRecorder, shell, ttrpc } from "../../support/conformance/keeper-bench.ts";

describeKeeper("the real one", () => RealKeeper.start());

describe("the keeper", () => {
  let bench: RealKeeper;
  beforeEach(async () => {
    bench = await RealKeeper.start();
  });
  afterEach(async () => {
    await bench.dispose();
  });

  describe("towards daemons", () => {
    it("closes the link of one that sends nonsense, and serves the next", async () => {
      const { pid } = await bench.keeper.spawn(shell("vm", "sleep 60"));
      await bench.killDaemon();
      const intruder = createConnection({ path: bench.control });
      intruder.on("error", () => undefined);
      intruder.resume();
      const closed = new Promise((resolve) => intruder.once("close", resolve));
      intruder.write("this is no frame at all, whatever it may be");
      await closed;
      const next = await bench.restartDaemon();
      expect(next.inventory().processes[0]?.identity.pid).toBe(pid);
    });

    it("serves the newest; a probe that says nothing disturbs nobody", async () => {
      const probe = createConnection({ path: bench.control });
      await new Promise((resolve) => probe.once("connect", resolve));
      await bench.keeper.spawn(shell("vm", "exit 0"));
      expect(bench.keeper.connected).toBe(true);
      probe.destroy();
    });

    it("repeats a request whose answer was lost with the link, but does it once", async () => {
      const spawned = bench.keeper.spawn(shell("vm", "sleep 60"));
      // Another connection displaces the daemon's, and leaves; the daemon's client comes back by itself.
      const other = createConnection({ path: bench.control });
      other.on("error", () => undefined);
      other.write("x");
      const { pid, startTime } = await spawned;
      other.destroy();
      await vi.waitFor(() => expect(bench.keeper.connected).toBe(true), { timeout: 5_000 });
      expect(bench.keeper.inventory().processes).toEqual([{ id: "vm", identity: { pid, startTime } }]);
    });
  });

  describe("as a program", () => {
    it("refuses to start where another keeper answers", async () => {
      const options = {
        binary: await keeperBinary(),
        control: bench.control,
        task: bench.task,
        log: silentLogger,
      };
      await expect(startKeeper(options)).rejects.toMatchObject({ code: "HostResource" });
      const args = ["--control", path.join(bench.directory, "other.sock"), "--task", bench.task];
      const failed = promisify(execFile)(options.binary, args);
      await expect(failed).rejects.toMatchObject({
        code: 1,
        stderr: expect.stringContaining("another process answers on it"),
      });
      expect(bench.keeper.connected).toBe(true);
    });

    it("takes over the sockets of a dead one, and reports bad arguments", async () => {
      process.kill(bench.pid, "SIGKILL");
      await vi.waitFor(() => expect(bench.keeper.connected).toBe(false));
      await bench.keeper.close();
      const { pid } = await startKeeper({
        binary: await keeperBinary(),
        control: bench.control,
        task: bench.task,
        log: silentLogger,
      });
      const keeper = await bench.restartDaemon();
      expect(keeper.pid).toBe(pid);
      await keeper.shutdown();
      const failed = promisify(execFile)(await keeperBinary(), ["--control", "relative"]);
      await expect(failed).rejects.toMatchObject({ code: 2, stderr: expect.stringContaining("usage:") });
    });

    it("is waited for by a daemon that starts while it is stopped, and named", async () => {
      const log = new CapturedLogger();
      await bench.killDaemon();
      process.kill(bench.pid, "SIGSTOP");
      const reached = connectPatiently({ control: bench.control, log, connectTimeoutMs: 300 });
      await vi.waitFor(() =>
        expect(log.lines).toContainEqual(
          expect.objectContaining({
            level: "error",
            fields: expect.objectContaining({ keeper: bench.pid, remedy: `kill -CONT ${bench.pid}` }),
          }),
        ),
      );
      process.kill(bench.pid, "SIGCONT");
      bench.keeper = await reached;
      expect(bench.keeper.pid).toBe(bench.pid);
      const nobody = connectPatiently({ control: `${bench.control}2`, log, connectTimeoutMs: 100 });
      await expect(nobody).rejects.toMatchObject({ code: "KeeperLost" });
    });

    it("has its sockets again when somebody has removed them, and no second one is started meanwhile", async () => {
      const binary = await keeperBinary();
      const { control, task, pid } = bench;
      for (const socket of [control, task]) await rm(socket);
      expect(await startKeeper({ binary, control, task, log: silentLogger })).toMatchObject({ pid });
      await vi.waitFor(async () => expect((await lstat(task)).isSocket()).toBe(true), { timeout: 5_000 });
      expect((await lstat(control)).mode & 0o777).toBe(0o600);
      // the link that there was is the same one
      await bench.keeper.ping();
      expect(bench.keeper.linkLosses).toBe(0);
      expect((await bench.restartDaemon()).pid).toBe(pid);
      await rm(task);
      await writeFile(task, "somebody else's");
      await bench.keeper.spawn(shell("vm", "sleep 3"));
      await bench.keeper.exited("vm");
      expect(await readFile(task, "utf8")).toBe("somebody else's");
    });

    it("ends at SIGTERM when it holds nothing, and removes its sockets", async () => {
      process.kill(bench.pid, "SIGTERM");
      await vi.waitFor(async () => expect(await bench.log()).toContain("the keeper ends"));
      await vi.waitFor(async () => {
        const { stdout } = await promisify(execFile)("ls", [bench.directory]);
        expect(stdout).toBe("keeper.log\n");
      });
    });

    it("stays at SIGTERM while a VM runs, and leaves it alone when the signal is repeated", async () => {
      const { pid } = await bench.keeper.spawn(shell("vm", "sleep 60"));
      process.kill(bench.pid, "SIGTERM");
      await vi.waitFor(async () => expect(await bench.log()).toContain("not ending, 1 processes run"));
      expect(bench.keeper.connected).toBe(true);
      process.kill(bench.pid, "SIGTERM");
      await vi.waitFor(() => expect(bench.keeper.connected).toBe(false));
      process.kill(pid, 0);
      process.kill(pid, "SIGKILL");
    });
  });

  describe("in the place of a dead one", () => {
    const starting = async () => ({
      ...{ binary: await keeperBinary(), control: bench.control, task: bench.task },
      log: silentLogger,
    });

    it("is started by the daemon itself, at once", async () => {
      const options = await starting();
      const start = async () => {
        bench.pid = (await startKeeper(options)).pid;
      };
      await bench.keeper.close();
      bench.keeper = await connectKeeper({ control: bench.control, log: silentLogger, start });
      const before = bench.pid;
      await bench.keeper.spawn(shell("vm", "sleep 60"));
      const exit = bench.keeper.exited("vm");
      process.kill(before, "SIGKILL");
      const killed = performance.now();
      await vi.waitFor(() => expect(bench.keeper.deaths).toBe(1));
      // it is held until the next keeper knows the process
      await bench.keeper.signal("vm", 9);
      expect(performance.now() - killed).toBeLessThan(2_000);
      expect(bench.keeper.pid).not.toBe(before);
      expect(await exit).toEqual({ id: "vm", code: -1, signal: 0 });
    });

    it("is not asked again for what its predecessor may have done", async () => {
      process.kill(bench.pid, "SIGSTOP");
      const spawned = bench.keeper.spawn(shell("vm", "sleep 60")).catch((error: unknown) => error);
      await bench.killKeeper();
      expect(await spawned).toMatchObject({
        code: "KeeperLost",
        message: expect.stringContaining("has died"),
      });
      const next = await bench.restartDaemon();
      expect(next.inventory().processes).toEqual([]);
    });

    it("hears of no process that has ended meanwhile, and of no other one with its pid", async () => {
      const vm = await bench.keeper.spawn(shell("vm", "sleep 60"));
      const helper = await bench.keeper.spawn(shell("helper", "sleep 60"));
      const exits = [bench.keeper.exited("vm"), bench.keeper.exited("helper")];
      process.kill(bench.pid, "SIGKILL");
      await vi.waitFor(() => expect(bench.keeper.deaths).toBe(1));
      process.kill(vm.pid, "SIGKILL");
      expect(await exits[0]).toEqual({ id: "vm", code: -1, signal: 0 });
      bench.pid = (await startKeeper(await starting())).pid;
      await vi.waitFor(() => expect(bench.keeper.pid).toBe(bench.pid));
      await expect(bench.keeper.signal("vm", 9)).rejects.toMatchObject({ code: "ProcessNotFound" });
      const later = { pid: helper.pid, startTime: helper.startTime + 1 };
      await expect(bench.keeper.adopt("helper", later)).rejects.toMatchObject({ code: "ProcessExists" });
      await expect(bench.keeper.adopt("other", later)).rejects.toMatchObject({ code: "ProcessNotFound" });
      await bench.keeper.signal("helper", 9);
      expect(await exits[1]).toEqual({ id: "helper", code: -1, signal: 0 });
      await expect(bench.keeper.signal("helper", 9)).rejects.toMatchObject({ code: "ProcessNotRunning" });
    });
  });

  it("stays below 4 MB with fifty pods, and does not grow", async () => {
    bench.keeper.onTaskMessage(async (message) => message);
    const pods = Array.from({ length: 50 }, (_, index) => index);
    for (const pod of pods) await bench.keeper.spawn(shell(`vm-${pod}`, "exec sleep 600"));
    // one after the other: connect(2) says EAGAIN while more wait than listen(2) was told
    const callers: Awaited<ReturnType<typeof bench.connectTask>>[] = [];
    while (callers.length < 200) callers.push(await bench.connectTask());
    const round = async (number: number): Promise<StdioBinding[]> => {
      for (const caller of callers) await caller.call(ttrpc("State"));
      const open: StdioBinding[] = [];
      for (const pod of pods) {
        const id = `${number}-${pod}`;
        const paths = await bench.fifos(id, ["stdin", "stdout", "stderr"]);
        const recorder = new StdioRecorder();
        const stdio = await bench.keeper.openStdio(id, paths, recorder);
        open.push(stdio);
        await recorder.acked("stdout", 0);
        stdio.data("stdout", 0, Buffer.alloc(16_000, "o"));
        stdio.end("stdout", 16_000);
        expect((await bench.readToEnd(paths.stdout)).length).toBe(16_000);
      }
      return open;
    };
    let open = await round(0);
    let first = 0;
    for (let number = 1; number < 5; number++) {
      await Promise.all(open.map((stdio) => stdio.close()));
      open = await round(number);
      if (number === 1) first = await memoryOf(bench.pid);
    }
    const last = await memoryOf(bench.pid);
    process.stderr.write(`keeper at 50 pods: ${first} KB, after 3 rounds more ${last} KB\n`);
    expect(last).toBeLessThan(4 * 1024);
    // the engine collects cycles when there is half as much again as after the last time
    expect(last - first).toBeLessThan(640);
  });
});

/** In KB, with the pages that it shares: their part in `Pss` depends on how many keepers there are on the machine. */
async function memoryOf(pid: number): Promise<number> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, "utf8");
  return Number(/^Rss:\s+(\d+)/m.exec(rollup)?.[1]);
}
