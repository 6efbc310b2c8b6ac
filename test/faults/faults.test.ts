/** When things go wrong, on real daemons: every fault has the outcome that docs/specification.md promises. */
import { copyFile, mkdir, readdir, readFile, rename, rm, rmdir, statfs, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { processesOf } from "../../lab/host/processes.ts";
import { runProgram } from "../../lab/host/program.ts";
import { until } from "../../lab/host/until.ts";
import { findProgram } from "../../setup/steps/packages.ts";
import { type TestContainer, TestNode, type TestPod } from "../support/e2e/node.ts";

let node: TestNode;
let qemu = "";

beforeAll(async () => {
  // a copy, which a test may replace; beside the original, because QEMU finds its firmware from there
  const binary = findProgram("qemu-system-x86_64") ?? "";
  qemu = `${binary}-blazar-${process.pid}`;
  await copyFile(binary, qemu);
  node = await TestNode.start({ stateInMemory: true, config: { vmm: { binary: qemu } } });
});

afterEach(async () => {
  await node.stopAll();
  expect(await node.leftovers()).toEqual([]);
});

afterAll(async () => {
  await node.stop();
  await rm(qemu, { force: true });
});

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

async function counting(): Promise<{ pod: TestPod; container: TestContainer }> {
  const pod = await node.runPod();
  const container = await node.startContainer(
    pod,
    "i=0; while :; do i=$((i+1)); echo line $i; sleep 0.1; done",
  );
  await node.waitForLog(container, "line 3");
  return { pod, container };
}

/** Every line once and in order; returns how many there are. */
async function unbroken(container: TestContainer): Promise<number> {
  const lines = await node.readLog(container);
  expect(lines.map((line) => line.text.trim())).toEqual(lines.map((_, index) => `line ${index + 1}`));
  return lines.length;
}

async function keeperPid(): Promise<number> {
  const found = (await processesOf([join(node.node.stateDirectory, "keeper.sock")])).find(({ command }) =>
    command.includes("--control"),
  );
  if (found === undefined) throw new Error("there is no keeper");
  return found.pid;
}

/** A pod cannot be started; what containerd says of it. */
async function refused(): Promise<string> {
  return await node.runPod().then(
    () => "it has started",
    (error: unknown) => String(error),
  );
}

/** The journal's last page may have room for some lines more. */
async function refusedExec(container: TestContainer): Promise<true | undefined> {
  return await node.exec(container, "true").then(
    () => undefined,
    (error: unknown) => {
      expect(String(error)).toMatch(/ENOSPC|no space left/i);
      return true as const;
    },
  );
}

/** containerd, whose calls have found no daemon for a while, tries again after a pause. */
function stopped(pod: TestPod): Promise<true | undefined> {
  return node.cri.stopPodSandbox(pod.id).then(
    () => true,
    () => undefined,
  );
}

async function works(): Promise<void> {
  const pod = await node.runPod();
  const container = await node.startContainer(pod, "echo it works");
  await node.waitForLog(container, "it works");
  await node.removePod(pod);
}

describe("a QEMU that is stopped and goes on", () => {
  it("has the right time again, and its monotonic clock has gone on as the host's", async () => {
    const { pod, container } = await counting();
    const read = async () => {
      const { stdout } = await node.exec(container, "date +%s.%N; cut -d' ' -f1 /proc/uptime");
      const [wall = "", up = ""] = stdout.trim().split("\n");
      return { wall: Number(wall.replace(/\.N$|%N$/, "")), up: Number(up), at: Date.now() / 1000 };
    };
    const before = await read();
    const vmm = await node.vmmPid(pod);
    process.kill(vmm, "SIGSTOP");
    await sleep(4_000);
    process.kill(vmm, "SIGCONT");
    const after = await read();
    expect(Math.abs(after.wall - after.at)).toBeLessThan(1.5);
    expect(Math.abs(after.up - before.up - (after.at - before.at))).toBeLessThan(1.5);
    expect(await unbroken(container)).toBeGreaterThan(3);
  });
});

describe("a stop of a daemon's main loop", () => {
  it("costs no pod anything: blazard stopped for longer than the deadlines of a call", async () => {
    const { container } = await counting();
    const asked = node.exec(container, "sleep 1; echo answered");
    await sleep(300);
    process.kill(node.node.blazardPid, "SIGSTOP");
    await sleep(6_000);
    process.kill(node.node.blazardPid, "SIGCONT");
    expect((await asked).stdout).toContain("answered");
    const lines = await unbroken(container);
    await until("more lines", async () => ((await unbroken(container)) > lines + 5 ? true : undefined));
  });

  it("costs no pod anything: the keeper stopped; a stop of a pod does not wait for it", async () => {
    const { container } = await counting();
    const other = await node.runPod();
    const keeper = await keeperPid();
    process.kill(keeper, "SIGSTOP");
    try {
      const started = performance.now();
      await node.cri.stopPodSandbox(other.id);
      expect(performance.now() - started).toBeLessThan(8_000);
    } finally {
      process.kill(keeper, "SIGCONT");
    }
    const lines = await unbroken(container);
    await until("more lines", async () => ((await unbroken(container)) > lines + 5 ? true : undefined));
  });
});

describe("a full state directory", () => {
  it.each([
    ["space", "size=24m", "size=50%"],
    ["inodes", "nr_inodes=400", "nr_inodes=100000"],
  ])(
    "out of %s: pods run on, also over a restart, and can be stopped; new ones are refused by name, and start again with room",
    async (_, limit, rest) => {
      const state = node.node.stateDirectory;
      const { pod, container } = await counting();
      await runProgram("mount", ["-o", `remount,${limit}`, state]);
      const filler = join(state, "filler");
      await mkdir(filler);
      try {
        if (limit.startsWith("size")) {
          const { bavail, bsize } = await statfs(state);
          await writeFile(join(filler, "0"), Buffer.alloc(bavail * bsize)).catch(() => undefined);
        } else {
          for (let number = 0; ; number++) {
            const made = await writeFile(join(filler, String(number)), "").then(
              () => true,
              () => false,
            );
            if (!made) break;
          }
        }
        expect(await refused()).toMatch(/ENOSPC|no space left/i);
        // an exec's streams would be in no journal; where only files are short, its line still fits
        if (limit.startsWith("size")) await until("the refusal of an exec", () => refusedExec(container));
        await node.node.restartBlazard({ kill: true });
        const lines = await unbroken(container);
        await until("more lines", async () => ((await unbroken(container)) > lines + 2 ? true : undefined));
        await until("containerd's next attempt", () => stopped(pod));
        await node.removePod(pod);
      } finally {
        await rm(filler, { recursive: true });
        await runProgram("mount", ["-o", `remount,${rest}`, state]);
      }
      await works();
    },
  );
});

describe("a host that has no more of something", () => {
  it("process ids: the keeper cannot start a VMM, says so, and leaves nothing", async () => {
    const group = `/sys/fs/cgroup/pids/blazar-faults-${process.pid}`;
    await mkdir(group);
    const keeper = await keeperPid();
    try {
      await writeFile(join(group, "cgroup.procs"), String(keeper));
      await writeFile(join(group, "pids.max"), "1");
      const said = await refused();
      expect(said).toMatch(/EAGAIN|Resource temporarily unavailable|process/);
    } finally {
      await writeFile(join(group, "pids.max"), "max");
      await writeFile("/sys/fs/cgroup/pids/cgroup.procs", String(keeper));
      await rmdir(group).catch(() => undefined);
    }
    await works();
  });

  it.each(["blazard", "keeper"])(
    "descriptors of %s: starts fail by name, running pods go on",
    async (who) => {
      const { container } = await counting();
      const pid = who === "keeper" ? await keeperPid() : node.node.blazardPid;
      const open = (await readdir(`/proc/${pid}/fd`)).length;
      const limits = await readFile(`/proc/${pid}/limits`, "utf8");
      const soft = /Max open files +(\d+)/.exec(limits)?.[1] ?? "65536";
      await runProgram("prlimit", ["--pid", String(pid), `--nofile=${open + 2}:`]);
      let said = "";
      try {
        said = await refused();
      } finally {
        await runProgram("prlimit", ["--pid", String(pid), `--nofile=${soft}:`]);
      }
      expect(said).toMatch(/EMFILE|too many open files|Unavailable|descriptors/i);
      const lines = await unbroken(container);
      await until("more lines", async () => ((await unbroken(container)) > lines + 5 ? true : undefined));
      await works();
    },
  );
});

describe("a VMM that the kernel kills for want of memory", () => {
  it("is told as that, with the group and its limit", async () => {
    const pod = await node.runPod();
    const pid = await node.vmmPid(pod);
    const own = (await readFile(`/proc/${pid}/cgroup`, "utf8"))
      .split("\n")
      .find((line) => line.includes(":memory:"));
    const group = join("/sys/fs/cgroup/memory", own?.split(":")[2] ?? "");
    const container = await node.startContainer(pod, "sleep 1000");
    const used = Number(await readFile(join(group, "memory.usage_in_bytes"), "utf8"));
    await writeFile(join(group, "memory.limit_in_bytes"), String(used + 4 * 2 ** 20));
    await node.exec(container, "head -c 120m /dev/zero | tail").catch(() => undefined);
    await node.waitForExit(container);
    const log = await until("the failure in the log", async () => {
      const text = await readFile(node.node.blazardLog, "utf8");
      return text.includes("out of memory") ? text : undefined;
    });
    expect(log).toMatch(/the kernel killed a process of .* the limit of .* bytes \(out of memory\)/);
  });
});

describe("a QEMU binary that is replaced under running pods", () => {
  it("changes nothing for them, and new pods start", async () => {
    const { container } = await counting();
    await copyFile(qemu, `${qemu}.new`);
    await rename(`${qemu}.new`, qemu);
    await works();
    const lines = await unbroken(container);
    await until("more lines", async () => ((await unbroken(container)) > lines + 2 ? true : undefined));
  });
});

describe("containerd killed while a pod starts", () => {
  it("comes back, and nothing is left of the pod when it is removed", async () => {
    const started = node.runPod().catch(() => undefined);
    await until("a sandbox", async () => {
      const made = await readdir(join(node.node.stateDirectory, "sandboxes")).catch(() => []);
      return made.length > 0 ? true : undefined;
    });
    await node.node.containerd.restart({ kill: true });
    await started;
    await works();
  });
});
