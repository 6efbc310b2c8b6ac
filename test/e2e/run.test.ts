/** `blazar run` as an operator types it: real program, real keeper, real VM. */
import { cp, mkdir, readFile, readlink, stat, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { processesOf } from "../../lab/host/processes.ts";
import { runProgram } from "../../lab/host/program.ts";
import { until } from "../../lab/host/until.ts";
import { blazarProgram, built, writeBusyboxImage } from "../support/e2e/program.ts";
import { asNobody, installForEverybody, NOBODY, runBlazar, startRun } from "../support/e2e/run.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const isRoot = process.getuid?.() === 0;

/** A shell's answer from an image. */
const GREET = 'echo "$GREETING $1 from $(pwd) as $(id -u):$(id -g)"';

function sh(script: string): string[] {
  return ["--", "sh", "-c", script];
}

describe("blazar run", () => {
  it("passes stdin, stdout, stderr and the exit code through, and leaves nothing", async () => {
    const script = "cat; uname -r; cat /proc/sys/kernel/random/boot_id; echo oops >&2; exit 42";
    const { code, stdout, stderr, remains } = await runBlazar(sh(script), { input: "line one\nline two\n" });
    const [first, second, kernel, boot] = stdout.split("\n");
    expect({ code, first, second, stderr }).toEqual({
      code: 42,
      first: "line one",
      second: "line two",
      stderr: "oops\n",
    });
    expect(kernel).toMatch(/^6\.1\./);
    // a host may have the very kernel that guests have
    expect(boot).toMatch(/^[0-9a-f-]{36}$/);
    expect(boot).not.toBe((await readFile("/proc/sys/kernel/random/boot_id", "utf8")).trim());
    expect(remains).toEqual([]);
  });

  it("carries a megabyte of input through unchanged", async () => {
    const input = Buffer.alloc(2 ** 20, "0123456789abcdef\n");
    const { code, stdout, remains } = await runBlazar(["--", "cat"], { input });
    expect(code).toBe(0);
    expect(stdout === input.toString()).toBe(true);
    expect(remains).toEqual([]);
  });

  it("gives the guest the variables, the memory and the processors that are asked for", async () => {
    const script = "echo \"$A|$FROM_HERE|$PATH\"; nproc; awk '/MemTotal/ {print $2}' /proc/meminfo";
    const variables = ["--env", "A=one two", "--env", "FROM_HERE"];
    const args = [...variables, "--cpus", "2", "--memory", "384M", ...sh(script)];
    const { stdout } = await runBlazar(args, { env: { FROM_HERE: "yes" } });
    expect(stdout).toMatch(/^one two\|yes\|\/usr/);
    const [processors, kilobytes] = stdout.split("\n").slice(1).map(Number);
    expect(processors).toBe(2);
    expect(kilobytes).toBeGreaterThan(300 * 1024);
    expect(kilobytes).toBeLessThan(384 * 1024);
  });

  it("says which command there is not, and exits 127", async () => {
    const { code, stdout, stderr, remains } = await runBlazar(["--", "no-such-command", "x"]);
    expect({ code, stdout }).toEqual({ code: 127, stdout: "" });
    expect(stderr).toContain("no-such-command");
    expect(remains).toEqual([]);
  });

  it("exits 126 for what is there and cannot be executed", async () => {
    const { code, stderr } = await runBlazar(["--", "/etc"]);
    expect(code).toBe(126);
    expect(stderr).toContain("/etc");
  });

  it("refuses a wrong option before it starts anything", async () => {
    const { code, stderr, remains } = await runBlazar(["--memory", "lots", "--", "true"]);
    expect(code).toBe(64);
    expect(stderr).toContain('"lots" is not a size');
    expect(remains).toEqual([]);
  });

  it("refuses a root that is not there, by its name", async () => {
    const { code, stderr, remains } = await runBlazar(["--rootfs", "/no/such/root", "--", "true"]);
    expect(code).toBe(70);
    expect(stderr).toContain("/no/such/root");
    expect(remains).toEqual([]);
  });
});

describe("a run whose machine fails", () => {
  it("says so and exits as if killed when the VMM is, and leaves nothing", async () => {
    const run = await startRun(sh("echo ready; exec sleep 1000"));
    await run.stdoutHas("ready");
    const vmm = await until("the VMM", async () =>
      (await processesOf([run.directory])).find(({ command }) => command.includes("qemu")),
    );
    process.kill(vmm.pid, "SIGKILL");
    const { code, stderr } = await run.result;
    expect(code).toBe(137);
    expect(stderr).toMatch(/^blazar: sandbox failed/);
    expect(await run.remains()).toEqual([]);
  });

  it("names the program and the package when QEMU is not installed, once", async () => {
    const { code, stderr, remains } = await runBlazar(["--", "true"], { env: { PATH: "/nonexistent" } });
    expect(code).toBe(70);
    expect(stderr).toMatch(/^blazar: cannot find QEMU \(qemu-system-x86_64\).*qemu-system-x86.*\n$/);
    expect(remains).toEqual([]);
  });
});

describe("a run that was killed by SIGKILL", () => {
  it("is cleared up after by the next run, which leaves its living neighbours alone", async () => {
    const killed = await startRun(sh("echo ready; exec sleep 1000"));
    await killed.stdoutHas("ready");
    const { directory } = killed;
    const neighbour = await startRun(sh("echo ready; read line; echo got $line"), { directory });
    await neighbour.stdoutHas("ready");
    killed.child.kill("SIGKILL");
    await killed.result;
    expect((await runBlazar(["--", "true"], { directory })).code).toBe(0);
    neighbour.child.stdin.write("word\n");
    expect(await neighbour.result).toMatchObject({ code: 0, stdout: "ready\ngot word\n" });
    expect(await neighbour.remains()).toEqual([]);
  });
});

describe("the root of a run", () => {
  it("is a directory of the host, and what the command writes does not reach it", async () => {
    const root = await busyboxRoot();
    const script = "cat /etc/motd; echo changed > /etc/motd; cat /etc/motd; mkfifo /tmp/f && echo fifo";
    const { code, stdout, remains } = await runBlazar(["--rootfs", root, ...sh(script)]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: "as shipped\nchanged\nfifo\n" });
    expect(await readFile(join(root, "etc", "motd"), "utf8")).toBe("as shipped\n");
    await expect(stat(join(root, "tmp", "f"))).rejects.toThrow(/ENOENT/);
    expect(remains).toEqual([]);
  });

  it("is an image, with its entrypoint, variables, directory and user, and the owners that it says", async () => {
    const directory = await temporaryDirectory();
    const image = await writeBusyboxImage(directory, "run-test", {
      Entrypoint: ["/bin/sh", "-c", `${GREET}; stat -c %u:%a /bin/busybox /root /tmp`, "entry"],
      Cmd: ["nobody"],
      Env: ["GREETING=hello"],
      WorkingDir: "/tmp",
      User: "1000:1001",
    });
    const own = await runBlazar(["--image", image]);
    // also for a run without root
    const owners = "0:755\n0:700\n0:1777\n";
    expect(own.stdout).toBe(`hello nobody from /tmp as 1000:1001\n${owners}`);
    const given = await runBlazar(["--image", image, "--env", "GREETING=bye", "--", "you"]);
    expect(given.stdout).toBe(`bye you from /tmp as 1000:1001\n${owners}`);
    expect(given.remains).toEqual([]);
  });
});

describe("signals to a run", () => {
  it("reach the command, whose answer is the exit code", async () => {
    const script = 'trap "echo caught; exit 9" TERM; echo ready; while :; do sleep 0.1; done';
    const run = await startRun(sh(script));
    await run.stdoutHas("ready");
    run.child.kill("SIGTERM");
    const { code, stdout } = await run.result;
    expect({ code, stdout }).toEqual({ code: 9, stdout: "ready\ncaught\n" });
    expect(await run.remains()).toEqual([]);
  });

  it("end a command that does not handle them, with 128 and the signal", async () => {
    const run = await startRun(sh("echo ready; exec sleep 1000"));
    await run.stdoutHas("ready");
    run.child.kill("SIGINT");
    const { code } = await run.result;
    expect(code).toBe(130);
    expect(await run.remains()).toEqual([]);
  });

  it("kill a command that will not listen, at the third", async () => {
    const run = await startRun(sh('trap "echo no" INT; echo ready; while :; do sleep 0.1; done'));
    await run.stdoutHas("ready");
    for (let times = 0; times < 3; times++) run.child.kill("SIGINT");
    // signals of one kind that come at once are one: send until it is gone, as an operator does
    const again = setInterval(() => run.child.kill("SIGINT"), 300);
    const { code } = await run.result;
    clearInterval(again);
    expect(code).toBe(137);
    expect(await run.remains()).toEqual([]);
  });

  it("give up a run that is still booting, and leave nothing", async () => {
    const run = await startRun(sh("echo never"));
    await until("the VMM", async () =>
      (await processesOf([run.directory])).find(({ command }) => command.includes("qemu")),
    );
    run.child.kill("SIGTERM");
    run.child.kill("SIGINT");
    const { code, stdout } = await run.result;
    expect([143, 130]).toContain(code);
    expect(stdout).toBe("");
    expect(await run.remains()).toEqual([]);
  });

  it("are told to the command when nobody reads its output any more", async () => {
    const run = await startRun(["--", "yes"]);
    await run.stdoutHas("y\n");
    run.child.stdout.destroy();
    const { code } = await run.result;
    expect(code).toBe(141);
    expect(await run.remains()).toEqual([]);
  });
});

describe("a run with a terminal", () => {
  /** script(1) makes the terminal; within it, a shell sets its size and becomes blazar. */
  function underScript(words: readonly string[]): string[] {
    const quoted = words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
    return [
      "script",
      "--quiet",
      "--return",
      "--command",
      `stty rows 33 cols 99; exec ${quoted}`,
      "/dev/null",
    ];
  }

  async function startTerminal(script: string) {
    const words = [process.execPath, blazarProgram(), "run", "--tty", ...sh(script)];
    return await startRun([], { words: underScript(words) });
  }

  it("has its size, one output, and the exit code", async () => {
    const run = await startTerminal("stty size; tty; echo aside >&2; exit 5");
    const { code, stdout } = await run.result;
    expect(stdout.replaceAll("\r", "")).toBe("33 99\n/dev/pts/0\naside\n");
    expect(code).toBe(5);
    expect(await run.remains()).toEqual([]);
  });

  it("hears of a new size, and of what is typed", async () => {
    const mark = `mark-${process.pid}`;
    const script = `trap "stty size" WINCH; echo ${mark}; read line; while ! read more; do :; done; echo "got $line $more"`;
    const run = await startTerminal(script);
    await run.stdoutHas(mark);
    const [blazar] = (await processesOf([mark])).filter(({ command }) => !command.startsWith("script"));
    const terminal = await readlink(`/proc/${blazar?.pid}/fd/1`);
    run.child.stdin.write("typed\n");
    await run.stdoutHas("typed");
    await runProgram("stty", ["-F", terminal, "rows", "44", "cols", "111"]);
    await run.stdoutHas("44 111");
    run.child.stdin.write("more\n");
    await run.stdoutHas("got typed more");
    expect((await run.result).code).toBe(0);
  });
});

describe.skipIf(!isRoot)("a run as a plain user", () => {
  it("works without root: built-in root, stdin and exit code", async () => {
    const { program, cache } = await installForEverybody();
    const { code, stdout, stderr, remains } = await runBlazar(sh("cat; id -u; touch /x && exit 3"), {
      under: asNobody(),
      program,
      uid: NOBODY,
      env: { BLAZAR_CACHE: cache, HOME: "/nonexistent" },
      input: "in\n",
    });
    expect({ code, stdout, stderr }).toEqual({ code: 3, stdout: "in\n0\n", stderr: "" });
    expect(remains).toEqual([]);
  });
});

/** A root directory with busybox in it. */
async function busyboxRoot(): Promise<string> {
  const root = await temporaryDirectory();
  const { busybox } = built();
  for (const name of ["bin", "etc", "tmp", "proc", "dev", "sys"]) await mkdir(join(root, name));
  await cp(busybox.binary, join(root, "bin", "busybox"));
  for (const name of ["sh", "cat", "mkfifo", "echo"]) await symlink("busybox", join(root, "bin", name));
  await writeFile(join(root, "etc", "motd"), "as shipped\n");
  return root;
}
