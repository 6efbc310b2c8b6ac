/** Containers and their processes: life, exit, terminal and input, for both ways to make the first process. */
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ContainerCreate } from "../../../src/protocol/guest/messages.ts";
import {
  type AgentBench,
  BUILTIN,
  LAYERS,
  MOUNTS,
  NO_STDIO,
  processOf,
  specOf,
  WAYS,
} from "../../support/bench/agent.ts";

export function describeContainers(bench: AgentBench): void {
  describe.each(WAYS)("the guest agent's containers, made %s,", (_way, way) => {
    beforeAll(() => {
      bench.prepares = way;
    });

    it("keeps stdout and stderr apart and tells the exit code", async () => {
      const result = await bench.run("echo out; echo err >&2; exit 7");
      expect(result).toEqual({ status: 7, oomKilled: false, stdout: "out\n", stderr: "err\n" });
    });

    it("tells a signal as 128 and its number, of created containers, too", async () => {
      const { id } = await bench.stay(["sleep", "100"]);
      await bench.guest.request("process.signal", { id, execId: "", signal: 9, all: false });
      expect(await bench.guest.exit(id)).toMatchObject({ status: 137 });
      expect(bench.guest.oomKills(id)).toBe(0);
      await bench.remove(id);
      await bench.create(specOf("waits", processOf(["true"])));
      await bench.guest.request("process.signal", { id: "waits", execId: "", signal: 9, all: false });
      expect(await bench.guest.exit("waits")).toMatchObject({ status: 137 });
      await bench.remove("waits");
    });

    it("refuses to create what cannot be executed, names it and leaves nothing", async () => {
      const attempt = (args: string[], more: Partial<ContainerCreate> = {}): Promise<unknown> =>
        bench.create(specOf("nope", processOf(args), more));
      await expect(attempt(["no-such-program"])).rejects.toMatchObject({
        code: "CommandNotFound",
        details: { subject: "no-such-program", reason: expect.stringMatching(/no such file or directory/i) },
      });
      await expect(attempt(["/no/such/program"])).rejects.toMatchObject({ code: "CommandNotFound" });
      await expect(attempt(["/etc/passwd"])).rejects.toMatchObject({ code: "CommandNotExecutable" });
      await expect(attempt(["/etc"])).rejects.toMatchObject({ code: "CommandNotExecutable" });
      await expect(attempt([])).rejects.toMatchObject({ code: "InvalidSpec" });
      // the id, its cgroup and its mounts are free again
      await bench.create(specOf("nope", processOf(["true"])));
      await bench.remove("nope");
    });

    it("reports a failing execve to the start", async () => {
      await bench.guest
        .request("container.create", specOf("garbage", processOf(["/tmp/garbage"]), { rootfs: BUILTIN }))
        .then(
          () => expect.unreachable(),
          () => undefined,
        );
      const name = `garbage-${way}`;
      const root = await bench.makeRoot(name);
      await writeFile(path.join(root, "bin/garbage"), "\u0001\u0002 not a program", { mode: 0o755 });
      const rootfs = { ...LAYERS, path: name };
      await bench.create(specOf("garbage", processOf(["garbage"]), { rootfs }));
      await expect(bench.guest.request("process.start", { id: "garbage", execId: "" })).rejects.toMatchObject(
        {
          code: "CommandNotExecutable",
        },
      );
      expect((await bench.guest.exit("garbage")).status).toBe(127);
      await bench.remove("garbage");
    });

    it("executes further processes inside a running container", async () => {
      const { id } = await bench.stay(["sh", "-c", "echo here > /tmp/mark; exec sleep 100"]);
      expect(await bench.exec(id, "cat /tmp/mark; cat /proc/1/comm; exit 3")).toEqual({
        status: 3,
        stdout: "here\nsleep\n",
      });
      const { pids } = await bench.guest.request("container.pids", { id });
      expect(pids.length).toBe(1);
      const missing = bench.guest.request("process.exec", {
        id,
        execId: "x",
        process: processOf(["nothing-like-it"]),
        stdio: NO_STDIO,
      });
      await expect(missing).rejects.toMatchObject({ code: "CommandNotFound" });
      await bench.remove(id);
      await expect(bench.exec(id, "true")).rejects.toMatchObject({ code: "ContainerNotFound" });
    });

    it("gives an exec up that cannot begin, and one that runs: neither runs later", async () => {
      const { id } = await bench.stay(["sleep", "100"]);
      const { guest } = bench;
      const exec = (execId: string, script: string) => {
        const process = processOf(["sh", "-c", script]);
        return guest.request("process.exec", { id, execId, process, stdio: NO_STDIO });
      };
      await guest.request("process.abandon", { id, execId: "nothing" });
      // a frozen container is like one whose files do not come
      await guest.request("container.pause", { id });
      const begun = exec("begun", "touch /tmp/ghost");
      begun.catch(() => undefined);
      await guest.request("process.abandon", { id, execId: "begun" });
      await expect(begun).rejects.toMatchObject({ code: "GuestFailed" });
      await guest.request("container.resume", { id });
      await exec("running", "exec sleep 50");
      await guest.request("process.abandon", { id, execId: "running" });
      for (const execId of ["begun", "running"])
        await expect(guest.request("process.delete", { id, execId })).rejects.toMatchObject({
          code: "ProcessNotFound",
        });
      expect(await bench.exec(id, "ls /tmp; ps | grep -c 'sleep [5]0'")).toEqual({
        status: 1,
        stdout: "0\n",
      });
      await bench.remove(id);
    });

    it("ends an exec's output with its process, whoever still holds the pipe", async () => {
      const { id } = await bench.stay(["sleep", "100"]);
      expect(await bench.exec(id, "sleep 50 & echo done")).toEqual({ status: 0, stdout: "done\n" });
      await bench.remove(id);
    });

    it("gives a terminal with a size that can change", async () => {
      const id = bench.newId();
      const { stream: stdin, sender } = bench.guest.input();
      const { stream: stdout, output } = bench.guest.output();
      const process = processOf(["sh"], {
        terminal: true,
        rows: 30,
        columns: 100,
        env: ["PATH=/bin:/usr/bin", "PS1=> "],
      });
      await bench.create(specOf(id, process, { stdio: { stdin, stdout, stderr: 0 } }));
      await bench.guest.request("process.start", { id, execId: "" });
      sender.write(Buffer.from("stty size; tty; ls -l /dev/console | cut -c1\n"));
      await output.until((text) => /30 100\r\n\/dev\/pts\/0\r\nc\r\n/.test(text));
      await bench.guest.request("process.resize", { id, execId: "", rows: 50, columns: 200 });
      sender.write(Buffer.from("stty size\n"));
      await output.until((text) => text.includes("50 200\r\n"));
      sender.write(Buffer.from("exit 5\n"));
      expect((await bench.guest.exit(id)).status).toBe(5);
      await output.ended;
      await bench.remove(id);
    });

    it("gives an exec a terminal, too", async () => {
      const { id } = await bench.stay(["sleep", "100"]);
      const { stream: stdout, output } = bench.guest.output();
      const process = processOf(["sh", "-c", "stty size; tty"], { terminal: true, rows: 11, columns: 22 });
      await bench.guest.request("process.exec", {
        id,
        execId: "t",
        process,
        stdio: { stdin: 0, stdout, stderr: 0 },
      });
      expect((await bench.guest.exit(id, "t")).status).toBe(0);
      await output.ended;
      expect(output.text()).toBe("11 22\r\n/dev/pts/0\r\n");
      await bench.remove(id);
    });

    it("passes stdin on and closes it", async () => {
      const id = bench.newId();
      const { stream: stdin, sender } = bench.guest.input();
      const { stream: stdout, output } = bench.guest.output();
      await bench.guest.request(
        "container.create",
        specOf(id, processOf(["cat"]), { stdio: { stdin, stdout, stderr: 0 } }),
      );
      await bench.guest.request("process.start", { id, execId: "" });
      sender.write(Buffer.from("one\n"));
      await output.until((text) => text === "one\n");
      const bulk = Buffer.alloc(1 << 20, "0123456789abcde\n");
      sender.write(bulk);
      sender.finish();
      expect((await bench.guest.exit(id)).status).toBe(0);
      await output.ended;
      expect(output.bytes()).toBe(4 + bulk.length);
      expect(output.text().slice(4) === bulk.toString()).toBe(true);
      await bench.remove(id);
    });

    it("swallows input that the process does not want", async () => {
      const id = bench.newId();
      const { stream: stdin, sender } = bench.guest.input();
      await bench.guest.request(
        "container.create",
        specOf(id, processOf(["true"]), { stdio: { ...NO_STDIO, stdin } }),
      );
      await bench.guest.request("process.start", { id, execId: "" });
      sender.write(Buffer.alloc(1 << 20));
      sender.finish();
      expect((await bench.guest.exit(id)).status).toBe(0);
      await bench.remove(id);
    });

    it("keeps the writes of two containers of one image apart", async () => {
      const write = (text: string): Promise<{ stdout: string }> =>
        bench.run(`echo ${text} > /etc/passwd; sleep 0.3; cat /etc/passwd`, { rootfs: LAYERS });
      const [first, second] = await Promise.all([write("first"), write("second")]);
      expect([first.stdout, second.stdout]).toEqual(["first\n", "second\n"]);
      expect(await readFile(path.join(bench.guest.share, "image/etc/passwd"), "utf8")).toContain(
        "root:x:0:0",
      );
    });

    it("runs ten containers at once", async () => {
      const results = await Promise.all(Array.from({ length: 10 }, (_, index) => bench.run(`echo ${index}`)));
      expect(results.map((result) => result.stdout)).toEqual(
        Array.from({ length: 10 }, (_, index) => `${index}\n`),
      );
    });
  });
}

export function describePreparedChildren(bench: AgentBench): void {
  describe("a child that was prepared ahead", () => {
    beforeAll(() => {
      bench.prepares = true;
    });
    afterAll(() => {
      bench.prepares = false;
    });

    it("makes a process that is as new as one of a clone", async () => {
      await bench.guest.request("child.prepare", {});
      const before = Number((await bench.run("cut -d. -f1 /proc/uptime")).stdout);
      const { id, output } = await bench.stay(["sh", "-c", "cat /proc/1/stat; exec sleep 1000"]);
      const stat = await output.until((text) => text.includes("\n"));
      const ticks = Number(stat.slice(stat.lastIndexOf(")")).split(" ")[20]);
      expect(ticks).toBeGreaterThanOrEqual(before * 100);
      await bench.guest.request("process.signal", { id, execId: "", signal: 9, all: true });
      await bench.remove(id);
    });

    it("is there once, however often it was asked for", async () => {
      await Promise.all([1, 2, 3].map(() => bench.guest.request("child.prepare", {})));
      const runs = [1, 2, 3].map((each) => bench.run(`echo ${each}`));
      expect((await Promise.all(runs)).map(({ stdout }) => stdout)).toEqual(["1\n", "2\n", "3\n"]);
    });

    /** What a container sees of its devices, without what differs from mount to mount. */
    async function devices(more: Partial<ContainerCreate> = {}): Promise<string[]> {
      const script =
        "cut -d' ' -f4- /proc/self/mountinfo; cd /dev; stat -c '%n %F %a %u %g %t %T %N' * pts/*";
      const { stdout } = await bench.run(script, more);
      return stdout.split("\n").sort();
    }

    it("has made the /dev that its container asks for, and no other one is given to it", async () => {
      const option = (from: string, to: string) => ({
        mounts: MOUNTS.map((mount) => ({
          ...mount,
          options: mount.options.map((each) => (each === from ? to : each)),
        })),
      });
      const extra = (...more: ContainerCreate["mounts"]) => ({ mounts: [...MOUNTS, ...more] });
      const tmpfs = (destination: string) => ({ type: "tmpfs", source: "tmpfs", destination, options: [] });
      for (const more of [
        {},
        option("size=65536k", "size=1024k"),
        option("ptmxmode=0666", "ptmxmode=0600"),
        extra(tmpfs("/tmp")),
        extra(tmpfs("/dev/net")),
        extra(tmpfs("/tmp/../dev/fd")),
        { mounts: MOUNTS.filter(({ type }) => type !== "mqueue") },
        { mounts: [...MOUNTS].reverse() },
        { mounts: MOUNTS.slice(0, 1) },
      ]) {
        bench.prepares = false;
        const cloned = await devices(more);
        expect(cloned.join("\n")).toContain("null character special file 666 0 0 1 3");
        // the usual one is what a child prepares for
        await bench.run("true");
        bench.prepares = true;
        expect(await devices(more)).toEqual(cloned);
      }
    });

    it("has a cgroup that is new to its container", async () => {
      const script =
        "cat /proc/self/cgroup; cd /sys/fs/cgroup; cat pids.max memory.max; head -1 cgroup.procs";
      const limited = await bench.run(script, { cgroup: { "pids.max": "17" } });
      expect(limited.stdout).toBe("0::/\n17\nmax\n1\n");
      expect((await bench.run(script)).stdout).toBe("0::/\nmax\nmax\n1\n");
    });

    it("leaves an order that is too long to a clone of the agent", async () => {
      const env = ["PATH=/bin:/usr/bin", `LONG=${"x".repeat(100_000)}`];
      const { stdout, status } = await bench.run("echo $LONG | wc -c", {}, { env });
      expect({ stdout, status }).toEqual({ stdout: "100001\n", status: 0 });
    });

    it("leaves no process of its own behind", async () => {
      const { id } = await bench.stay(["sleep", "1000"]);
      const { pids } = await bench.guest.request("container.pids", { id });
      expect(pids).toHaveLength(1);
      expect((await bench.exec(id, "ls /proc | grep -c '^[0-9]'")).status).toBe(0);
      await bench.guest.request("process.signal", { id, execId: "", signal: 9, all: true });
      expect(await bench.guest.exit(id)).toMatchObject({ status: 137 });
      await bench.remove(id);
    });
  });
}
