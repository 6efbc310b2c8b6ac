/** The keeper's binary against the promises that the daemon builds on, and against what breaks others. */
import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { chmod, readFile, writeFile } from "node:fs/promises";
import { createConnection } from "node:net";
import path from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { artifacts } from "../../setup/artifacts.ts";
import type { ProcessSpawn, StdioBinding } from "../../src/contracts/keeper.ts";
import { silentLogger } from "../../src/contracts/logger.ts";
import { startKeeper } from "../../src/host/keeper-process.ts";
import { keeperBinary, RealKeeper } from "../support/keeper-bench.ts";
import { describeKeeper, StdioRecorder, shell, ttrpc, ttrpcText } from "../support/keeper-conformance.ts";

const root = process.getuid?.() === 0;
const MEGABYTE = 1024 * 1024;

describeKeeper("the real one", () => RealKeeper.start());

describe("the keeper", () => {
  let bench: RealKeeper;
  beforeEach(async () => {
    bench = await RealKeeper.start();
  });
  afterEach(async () => {
    await bench.dispose();
  });

  /** A process that waits, so that /proc can be read. */
  async function sleeper(extra: Partial<ProcessSpawn>): Promise<Map<string, string>> {
    const { pid } = await bench.keeper.spawn({ ...shell("vm", "sleep 60"), ...extra });
    const status = await readFile(`/proc/${pid}/status`, "utf8");
    return new Map(status.split("\n").map((line) => line.split(":\t", 2) as [string, string]));
  }

  describe("as parent of VMMs", () => {
    it("identifies a process by pid and start time", async () => {
      const { pid, startTime } = await bench.keeper.spawn(shell("vm", "sleep 60"));
      const stat = await readFile(`/proc/${pid}/stat`, "utf8");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      expect(fields[19]).toBe(String(startTime));
      expect(fields[1]).toBe(String(bench.pid));
      // A session of its own: a terminal's signals do not reach it.
      expect(fields[3]).toBe(String(pid));
    });

    it.runIf(root)("drops every privilege but those that are listed", async () => {
      const status = await sleeper({
        uid: 65_534,
        gid: 65_533,
        groups: [1234],
        capabilities: ["CAP_DAC_READ_SEARCH", "CAP_CHOWN"],
      });
      expect(status.get("Uid")).toBe("65534\t65534\t65534\t65534");
      expect(status.get("Gid")).toBe("65533\t65533\t65533\t65533");
      expect(status.get("Groups")?.trim()).toBe("1234");
      const mask = "0000000000000005";
      for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
        expect([set, status.get(set)]).toEqual([set, mask]);
      expect(status.get("NoNewPrivs")).toBe("1");
    });

    it("gives a process only the descriptors that it is meant to have", async () => {
      const output = path.join(bench.directory, "out");
      const flags = constants.O_WRONLY | constants.O_CREAT;
      await bench.keeper.spawn({
        ...shell("vm", "ls /proc/self/fd; readlink /proc/self/fd/0; cat <&7"),
        files: [
          { fd: 1, path: output, flags, mode: 0o640 },
          { fd: 7, path: "/proc/self/comm", flags: constants.O_RDONLY, mode: 0 },
        ],
      });
      expect((await bench.keeper.exited("vm")).code).toBe(0);
      const lines = (await readFile(output, "utf8")).trim().split("\n");
      // 3 is ls's own, of the directory.
      expect(lines).toEqual(["0", "1", "2", "3", "7", "/dev/null", expect.any(String)]);
    });

    it("starts with default signals, limits as asked for and its own environment", async () => {
      const output = path.join(bench.directory, "out");
      const flags = constants.O_WRONLY | constants.O_CREAT;
      await bench.keeper.spawn({
        ...shell("vm", "ulimit -n; pwd; env; grep Sig[BI] /proc/self/status"),
        env: ["PATH=/usr/bin:/bin", "ONLY=this"],
        cwd: bench.directory,
        rlimits: [{ type: "RLIMIT_NOFILE", soft: 99, hard: 99 }],
        files: [{ fd: 1, path: output, flags, mode: 0o600 }],
      });
      await bench.keeper.exited("vm");
      const text = await readFile(output, "utf8");
      expect(text).toMatch(/^99\n/);
      expect(text).toContain(`${bench.directory}\n`);
      expect(text).toContain("ONLY=this\n");
      expect(text).not.toContain("HOME=");
      expect(text).toMatch(/SigBlk:\s0+\n/);
      expect(text).toMatch(/SigIgn:\s0+\n/);
    });

    it("names a program that is missing or cannot be executed", async () => {
      const missing = bench.keeper.spawn({ ...shell("a", ""), argv: ["/no/such/qemu"] });
      await expect(missing).rejects.toMatchObject({
        code: "VmmNotInstalled",
        message: expect.stringContaining("/no/such/qemu"),
      });
      const file = path.join(bench.directory, "program");
      await writeFile(file, "");
      await chmod(file, 0o600);
      const denied = bench.keeper.spawn({ ...shell("b", ""), argv: [file] });
      await expect(denied).rejects.toMatchObject({
        code: "PermissionDenied",
        message: expect.stringContaining(file),
      });
      const relative = bench.keeper.spawn({ ...shell("c", ""), argv: ["qemu"] });
      await expect(relative).rejects.toMatchObject({ code: "InvalidArgument" });
      expect((await bench.restartDaemon()).inventory().processes).toEqual([]);
    });

    it("says which preparation of a process failed", async () => {
      const attempts: [Partial<ProcessSpawn>, string, string][] = [
        [{ cwd: "/no/such/directory" }, "InvalidArgument", "/no/such/directory"],
        [{ cgroups: ["/no/such/cgroup.procs"] }, "HostResource", "/no/such/cgroup.procs"],
        [{ files: [{ fd: 5, path: "/no/such/file", flags: 0, mode: 0 }] }, "HostResource", "/no/such/file"],
        [{ rlimits: [{ type: "RLIMIT_NONE", soft: 1, hard: 1 }] }, "InvalidArgument", "RLIMIT_NONE"],
      ];
      for (const [extra, code, subject] of attempts) {
        const spawned = bench.keeper.spawn({ ...shell("vm", "exit 0"), ...extra });
        await expect(spawned).rejects.toMatchObject({ code, message: expect.stringContaining(subject) });
      }
    });

    it("runs without CAP_SYS_RESOURCE: an OOM score that it may not set is left alone", async () => {
      const { pid } = await bench.keeper.spawn({ ...shell("vm", "sleep 60"), oomScoreAdj: -900 });
      const score = Number(await readFile(`/proc/${pid}/oom_score_adj`, "utf8"));
      const own = Number(await readFile(`/proc/${bench.pid}/oom_score_adj`, "utf8"));
      expect([own, -900]).toContain(score);
    });

    it("runs without huge pages where asked", async () => {
      const { pid } = await bench.keeper.spawn({ ...shell("vm", "sleep 60"), hugePages: false });
      expect(await readFile(`/proc/${pid}/status`, "utf8")).toMatch(/^THP_enabled:\s+0$/m);
    });

    describe("that fork", () => {
      const original: ProcessSpawn = {
        ...shell("original", ""),
        argv: ["/bin/sleep", "60"],
        env: [`LD_PRELOAD=${artifacts().forkLibrary}`, "BLAZAR_FORK_FD=8"],
        forkControl: 8,
      };
      const forkOf = (of: string, id: string, words = ["", "", "0", "/nowhere", ""]): ProcessSpawn => ({
        ...shell(id, ""),
        fork: { of, words },
      });

      it("has the forks as its children, each with an end of its own", async () => {
        const { keeper } = bench;
        const first = await keeper.spawn(original);
        const ids = ["one", "two", "three"];
        const forks = await Promise.all(ids.map((id) => keeper.spawn(forkOf("original", id))));
        expect(new Set([first, ...forks].map(({ pid }) => pid)).size).toBe(4);
        for (const { pid, startTime } of forks) {
          const stat = await readFile(`/proc/${pid}/stat`, "utf8");
          const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
          expect([fields[1], fields[19]]).toEqual([String(bench.pid), String(startTime)]);
        }
        await keeper.signal("two", 9);
        expect(await keeper.exited("two")).toEqual({ id: "two", code: -1, signal: 9 });
        await keeper.signal("original", 9);
        await keeper.exited("original");
        await keeper.signal("one", 15);
        expect(await keeper.exited("one")).toMatchObject({ signal: 15 });
        await expect(keeper.spawn(forkOf("original", "late"))).rejects.toMatchObject({
          code: "ProcessNotRunning",
        });
      });

      it("refuses what cannot be forked, and a name that is taken", async () => {
        const { keeper } = bench;
        await expect(keeper.spawn(forkOf("nobody", "fork"))).rejects.toMatchObject({
          code: "ProcessNotFound",
        });
        await keeper.spawn(shell("plain", "sleep 60"));
        await expect(keeper.spawn(forkOf("plain", "fork"))).rejects.toMatchObject({
          code: "ProcessNotRunning",
        });
        await expect(keeper.spawn(forkOf("plain", "plain"))).rejects.toMatchObject({ code: "ProcessExists" });
        expect(keeper.inventory().processes.map(({ id }) => id)).toEqual(["plain"]);
      });

      it("says why a process does not fork, whether it answers or ends", async () => {
        const { keeper } = bench;
        await keeper.spawn(original);
        await expect(keeper.spawn(forkOf("original", "fork", ["too few"]))).rejects.toMatchObject({
          code: "HostResource",
        });
        // it has the socket, but nothing in it that reads
        await keeper.spawn({ ...shell("mute", "sleep 60"), forkControl: 8 });
        const waiting = keeper.spawn(forkOf("mute", "fork"));
        waiting.catch(() => undefined);
        await keeper.signal("mute", 9);
        await expect(waiting).rejects.toMatchObject({ code: "HostResource" });
      });

      it("does not wait for ever for one that does not answer", async () => {
        await bench.keeper.spawn({ ...shell("mute", "sleep 60"), forkControl: 8 });
        const [first, second] = [forkOf("mute", "one"), forkOf("mute", "two")];
        const waiting = [bench.keeper.spawn(first), bench.keeper.spawn(second)];
        for (const result of await Promise.allSettled(waiting))
          expect(result).toMatchObject({ status: "rejected", reason: { code: "HostResource" } });
        await expect(bench.keeper.spawn(first)).rejects.toMatchObject({ code: "HostResource" });
      }, 15_000);
    });

    it("starts and reaps many at once", async () => {
      const ids = Array.from({ length: 50 }, (_, index) => `vm-${index}`);
      await Promise.all(ids.map((id, index) => bench.keeper.spawn(shell(id, `exit ${index}`))));
      const exits = await Promise.all(ids.map((id) => bench.keeper.exited(id)));
      expect(exits.map(({ code }) => code)).toEqual(ids.map((_, index) => index));
      await Promise.all(ids.map((id) => bench.keeper.forget(id)));
      expect((await bench.restartDaemon()).inventory().processes).toEqual([]);
    });
  });

  describe("as holder of FIFOs", () => {
    it("refuses a path that is no FIFO, by name", async () => {
      const file = path.join(bench.directory, "file");
      await writeFile(file, "");
      for (const stdout of [file, "/dev/null", path.join(bench.directory, "nothing")]) {
        const opened = bench.keeper.openStdio("c", { stdin: "", stdout, stderr: "" }, new StdioRecorder());
        await expect(opened).rejects.toMatchObject({
          code: "InvalidArgument",
          message: expect.stringContaining(stdout),
        });
      }
      expect(bench.keeper.inventory().stdio).toEqual([]);
    });

    it("holds back a stream whose reader is slow, and no other", async () => {
      const slowPaths = await bench.fifos("slow", ["stdout"]);
      const slow = new StdioRecorder();
      const slowStdio = await bench.keeper.openStdio("slow", slowPaths, slow);
      await slow.acked("stdout", 0);
      // Nobody reads: the FIFO takes its 64 KiB, then the credit stays where it is.
      let sent = 0;
      const block = Buffer.alloc(16 * 1024, "s");
      const push = (): void => {
        const { offset, window } = slow.acks.stdout;
        while (sent + block.length <= offset + window) {
          slowStdio.data("stdout", sent, block);
          sent += block.length;
        }
      };
      await vi.waitFor(() => {
        push();
        expect(slow.acks.stdout.offset).toBe(64 * 1024);
      });
      push();
      const quickPaths = await bench.fifos("quick", ["stdout"]);
      const quick = new StdioRecorder();
      const quickStdio = await bench.keeper.openStdio("quick", quickPaths, quick);
      await quick.acked("stdout", 0);
      quickStdio.data("stdout", 0, Buffer.from("quick"));
      quickStdio.end("stdout", 5);
      expect(await bench.readToEnd(quickPaths.stdout)).toBe("quick");
      expect(slow.acks.stdout.offset).toBe(64 * 1024);
      slowStdio.end("stdout", sent);
      const text = await bench.readToEnd(slowPaths.stdout);
      expect(text.length).toBe(sent);
      await slow.acked("stdout", sent + 1);
    });

    it("loses and doubles nothing over any number of daemons", async () => {
      const paths = await bench.fifos("c", ["stdout"]);
      const read = bench.readToEnd(paths.stdout);
      const source = Buffer.from(Array.from({ length: 60_000 }, (_, line) => `line ${line}\n`).join(""));
      for (let life = 0; life < 5; life++) {
        const recorder = new StdioRecorder();
        const stdio = await bench.keeper.openStdio("c", paths, recorder);
        await vi.waitFor(() => expect(recorder.acks.stdout.offset).toBeGreaterThanOrEqual(0));
        const start = recorder.acks.stdout.offset;
        let sent = start;
        const goal = life === 4 ? source.length : Math.min(source.length, start + 150_000);
        await vi.waitFor(
          () => {
            const { offset, window } = recorder.acks.stdout;
            const stop = Math.min(goal, offset + window, sent + 32 * 1024);
            stdio.data("stdout", sent, source.subarray(sent, stop));
            sent = stop;
            expect(sent).toBe(goal);
          },
          { interval: 1, timeout: 20_000 },
        );
        if (life === 4) stdio.end("stdout", source.length);
        // Written, mostly not acknowledged: the daemon dies here.
        else await bench.restartDaemon();
      }
      const text = await read;
      expect(text === source.toString()).toBe(true);
    });

    it("drops what breaks one stream's rules and keeps the link", async () => {
      const paths = await bench.fifos("c", ["stdin"]);
      await bench.keeper.openStdio("c", paths, new StdioRecorder());
      const next = await bench.restartDaemon();
      const adopted = await next.openStdio("c", paths, new StdioRecorder());
      // A new daemon cannot know what was sent: the keeper finds out.
      adopted.acknowledgeInput(1_000_000, 1024);
      await next.openStdio("d", await bench.fifos("d", ["stdout"]), new StdioRecorder());
      expect(next.connected).toBe(true);
      expect(await bench.log()).toContain("a stream broke the protocol");
    });
  });

  describe("as holder of Task connections", () => {
    it("closes only the connection that sends too much or nonsense", async () => {
      bench.keeper.onTaskMessage(async (message) => ttrpc(`re: ${ttrpcText(message)}`, 2));
      const good = await bench.connectTask();
      const oversized = await bench.connectTask();
      const header = Buffer.from(ttrpc(""));
      header.writeUInt32BE(4 * MEGABYTE + 1, 0);
      oversized.socket.write(header);
      await oversized.closed;
      const garbage = await bench.connectTask();
      garbage.socket.write("GET / HTTP/1.1\r\n\r\n");
      await garbage.closed;
      expect(ttrpcText(await good.call(ttrpc("still here")))).toBe("re: still here");
    });

    it("relays messages as large as containerd may send", async () => {
      bench.keeper.onTaskMessage(async (message) => message);
      const caller = await bench.connectTask();
      const large = ttrpc("x".repeat(4 * MEGABYTE));
      const answer = await caller.call(large);
      expect(Buffer.compare(answer, large)).toBe(0);
    });

    it("stops reading when nobody answers, and loses nothing by it", async () => {
      await bench.killDaemon();
      const caller = await bench.connectTask();
      const bodies = Array.from({ length: 24 }, (_, index) => String(index).padStart(MEGABYTE / 2, "."));
      const answers = bodies.map((body) => caller.call(ttrpc(body)));
      const rss = async (): Promise<number> => {
        const status = await readFile(`/proc/${bench.pid}/status`, "utf8");
        return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024;
      };
      await vi.waitFor(async () => expect(await rss()).toBeGreaterThan(4));
      expect(await rss()).toBeLessThan(16);
      const next = await bench.restartDaemon();
      next.onTaskMessage(async (message) => ttrpc(ttrpcText(message).replaceAll(".", ""), 2));
      const texts = (await Promise.all(answers)).map(ttrpcText);
      expect(texts).toEqual(bodies.map((_, index) => String(index)));
    });
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
      const identity = await spawned;
      other.destroy();
      await vi.waitFor(() => expect(bench.keeper.connected).toBe(true), { timeout: 5_000 });
      expect(bench.keeper.inventory().processes).toEqual([{ id: "vm", identity }]);
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

    it("is missed by a daemon that finds another one in its place", async () => {
      await bench.keeper.spawn(shell("vm", "sleep 60"));
      const exit = bench.keeper.exited("vm").catch((error: unknown) => error);
      const [vm] = bench.keeper.inventory().processes;
      process.kill(bench.pid, "SIGKILL");
      await vi.waitFor(() => expect(bench.keeper.connected).toBe(false));
      const { pid } = await startKeeper({
        binary: await keeperBinary(),
        control: bench.control,
        task: bench.task,
        log: silentLogger,
      });
      expect(await exit).toMatchObject({ code: "KeeperLost" });
      expect(bench.keeper.pid).toBe(pid);
      expect(bench.keeper.inventory().processes).toEqual([]);
      // The VM has outlived its keeper; the journal's undo is what finds it.
      if (vm !== undefined) process.kill(vm.identity.pid, "SIGKILL");
      await bench.keeper.spawn(shell("vm", "exit 3"));
      expect((await bench.keeper.exited("vm")).code).toBe(3);
      await bench.keeper.shutdown();
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

  it("stays below 4 MB with fifty pods, and does not grow", async () => {
    bench.keeper.onTaskMessage(async (message) => message);
    const pods = Array.from({ length: 50 }, (_, index) => index);
    for (const pod of pods) await bench.keeper.spawn(shell(`vm-${pod}`, "exec sleep 600"));
    const callers = await Promise.all(Array.from({ length: 200 }, () => bench.connectTask()));
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
        stdio.data("stdout", 0, Buffer.alloc(30_000, "o"));
        stdio.end("stdout", 30_000);
        expect((await bench.readToEnd(paths.stdout)).length).toBe(30_000);
      }
      return open;
    };
    let open = await round(0);
    let first = 0;
    for (let number = 1; number < 5; number++) {
      await Promise.all(open.map((stdio) => stdio.close()));
      open = await round(number);
      if (number === 1) first = await pss(bench.pid);
    }
    const last = await pss(bench.pid);
    process.stderr.write(`keeper PSS at 50 pods: ${first} KB, after 3 rounds more ${last} KB\n`);
    expect(last).toBeLessThan(4 * 1024);
    // the engine collects cycles when there is half as much again as after the last time
    expect(last - first).toBeLessThan(640);
  });
});

/** In KB. */
async function pss(pid: number): Promise<number> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, "utf8");
  return Number(/^Pss:\s+(\d+)/m.exec(rollup)?.[1]);
}
