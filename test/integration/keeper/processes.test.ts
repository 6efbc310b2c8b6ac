/** The keeper's binary as parent of VMMs: how it starts, forks and reaps them, and what it leaves them of its own. */
import { execFile } from "node:child_process";
import { constants } from "node:fs";
import { chmod, mkdir, readFile, readlink, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { repoRoot } from "../../../setup/lib/paths.ts";
import type { ProcessSpawn } from "../../../src/contracts/keeper.ts";
import { SIGKILL } from "../../../src/lib/signals.ts";
import { connectUnix } from "../../../src/lib/sockets/unix-socket.ts";
import { RealKeeper } from "../../support/bench/keeper.ts";
import { forkOf, shell } from "../../support/conformance/keeper-bench.ts";

const root = process.getuid?.() === 0;

/** The name of the tap that a descriptor of a process stands for (proc_pid_fdinfo(5)). */
async function tapAt(pid: number, fd: number): Promise<string | undefined> {
  return /^iff:\t(.*)$/m.exec(await readFile(`/proc/${pid}/fdinfo/${fd}`, "utf8"))?.[1];
}

/** The kernel takes its time to remove a link. */
const GONE = { timeout: 5_000 };

/** Names of the links in a network namespace. */
async function linksIn(namespace: string): Promise<string[]> {
  const { stdout } = await promisify(execFile)("nsenter", [`--net=${namespace}`, "ip", "-j", "link"]);
  return (JSON.parse(stdout) as { ifname: string }[]).map(({ ifname }) => ifname);
}

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

    it.runIf(root)("makes its taps where nobody is, and they end with it", async () => {
      const { keeper } = bench;
      const { pid, taps } = await keeper.spawn({
        ...shell("vm", "exec sleep 60"),
        taps: [{ fd: 12 }, { fd: 9 }],
      });
      const names = await Promise.all([12, 9].map((fd) => tapAt(pid, fd)));
      expect(names).toEqual(taps.map(({ name }) => name));
      const { namespace } = taps[0] ?? { namespace: "" };
      expect(await linksIn(namespace)).toEqual(["lo", ...names]);
      await keeper.signal("vm", SIGKILL);
      await keeper.exited("vm");
      await vi.waitFor(async () => expect(await linksIn(namespace)).toEqual(["lo"]), GONE);
    });

    it.runIf(root)("has made no tap of a process that could not start", async () => {
      const { keeper } = bench;
      const { taps } = await keeper.spawn({ ...shell("vm", "sleep 60"), taps: [{ fd: 12 }] });
      const missing = { ...shell("other", ""), argv: ["/nowhere"], taps: [{ fd: 12 }] };
      await expect(keeper.spawn(missing)).rejects.toMatchObject({ code: "VmmNotInstalled" });
      const [{ name, namespace } = { name: "", namespace: "" }] = taps;
      await vi.waitFor(async () => expect(await linksIn(namespace)).toEqual(["lo", name]), GONE);
    });

    it.runIf(root)("puts a fork's taps where its original's were", async () => {
      const { keeper } = bench;
      const original = await keeper.spawn({ ...bench.forkable("original"), taps: [{ fd: 20 }] });
      const words = ["", "", "0", "", "", "tap:20"];
      const fork = await keeper.fork({ ...forkOf("original", "fork", words), taps: 1 });
      expect(await tapAt(original.pid, 20)).toBe(original.taps[0]?.name);
      // a fork's first steps come after the answer
      await vi.waitFor(async () => expect(await tapAt(fork.pid, 20)).toBe(fork.taps[0]?.name));
      // a fork that is given none cannot be made: it would have its original's
      await expect(keeper.fork(forkOf("original", "late"))).rejects.toMatchObject({ code: "HostResource" });
      await keeper.signal("fork", SIGKILL);
      await keeper.exited("fork");
      const parking = original.taps[0]?.namespace ?? "";
      await vi.waitFor(
        async () => expect(await linksIn(parking)).toEqual(["lo", original.taps[0]?.name]),
        GONE,
      );
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
      it("has the forks as its own children", async () => {
        const { keeper } = bench;
        await keeper.spawn(bench.forkable("original"));
        const ids = ["one", "two", "three"];
        for (const { pid, startTime } of await Promise.all(
          ids.map((id) => keeper.fork(forkOf("original", id))),
        )) {
          const stat = await readFile(`/proc/${pid}/stat`, "utf8");
          const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
          expect([fields[1], fields[19]]).toEqual([String(bench.pid), String(startTime)]);
        }
      });

      it("is forked only where its threads wait, and by one request after the other", async () => {
        const { keeper, directory } = bench;
        const program = path.join(directory, "holder");
        const source = path.join(repoRoot(), "test", "support", "fork", "holder.c");
        await promisify(execFile)("gcc", ["-O1", "-pthread", "-o", program, source]);
        await keeper.spawn({ ...bench.forkable("original"), argv: [program] });
        const ids = Array.from({ length: 8 }, (_, each) => `fork-${each}`);
        await Promise.all(ids.map((id) => keeper.fork(forkOf("original", id))));
        const exits = await Promise.all(["original", ...ids].map((id) => keeper.exited(id)));
        expect(exits.map(({ code }) => code)).toEqual(exits.map(() => 0));
      }, 30_000);

      it("hands files and sockets over, in the place of those that the original has", async () => {
        const { keeper, directory } = bench;
        const place = async (name: string): Promise<{ log: string; socket: string }> => {
          await mkdir(path.join(directory, name));
          return { log: path.join(directory, name, "log"), socket: path.join(directory, name, "vm.sock") };
        };
        const [own, forks] = await Promise.all([place("original"), place("fork")]);
        const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND;
        await keeper.spawn({
          ...bench.forkable("original"),
          files: [{ fd: 1, path: own.log, flags, mode: 0o600 }],
          sockets: [{ fd: 7, path: own.socket, mode: 0o600 }],
        });
        const { dev, ino } = await stat(own.log, { bigint: true });
        const { pid } = await keeper.fork({
          ...forkOf("original", "fork", ["", "", "0", "", "", `${dev}:${ino}`, "socket:vm.sock"]),
          files: [{ path: forks.log, flags, mode: 0o600 }],
          sockets: [{ path: forks.socket, mode: 0o600 }],
        });
        await vi.waitFor(async () => expect(await readlink(`/proc/${pid}/fd/1`)).toBe(forks.log));
        for (const socket of [own.socket, forks.socket]) (await connectUnix(socket)).destroy();
        const unknown = { ...forkOf("original", "other"), files: [{ path: own.log, flags, mode: 0 }] };
        await expect(keeper.fork(unknown)).rejects.toMatchObject({ code: "HostResource" });
        const missing = { ...unknown, files: [{ path: "/nowhere/log", flags, mode: 0 }] };
        await expect(keeper.fork(missing)).rejects.toThrow("/nowhere/log");
      });

      it("says why a process does not fork, whether it answers or ends", async () => {
        const { keeper } = bench;
        await keeper.spawn(bench.forkable("original"));
        await expect(keeper.fork(forkOf("original", "fork", ["too few"]))).rejects.toMatchObject({
          code: "HostResource",
        });
        // it has the socket, but nothing in it that reads
        await keeper.spawn({ ...shell("mute", "sleep 60"), forkControl: 8 });
        const waiting = keeper.fork(forkOf("mute", "fork"));
        waiting.catch(() => undefined);
        await keeper.signal("mute", 9);
        await expect(waiting).rejects.toMatchObject({ code: "HostResource" });
      });

      it("does not wait for ever for one that does not answer", async () => {
        await bench.keeper.spawn({ ...shell("mute", "sleep 60"), forkControl: 8 });
        const [first, second] = [forkOf("mute", "one"), forkOf("mute", "two")];
        const waiting = [bench.keeper.fork(first), bench.keeper.fork(second)];
        for (const result of await Promise.allSettled(waiting))
          expect(result).toMatchObject({ status: "rejected", reason: { code: "HostResource" } });
        await expect(bench.keeper.fork(first)).rejects.toMatchObject({ code: "HostResource" });
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
});
