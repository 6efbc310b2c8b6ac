/** `npm run lab -- host` as a person types it: real QEMU, Debian's kernel, and this machine's root in it. */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { processesOf } from "../../lab/host/processes.ts";
import { runToEnd } from "../../lab/host/program.ts";
import { until } from "../../lab/host/until.ts";
import { repoRoot } from "../../setup/lib/paths.ts";
import { built } from "../support/e2e/program.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

const LAB = [process.execPath, "setup/run.mjs", "lab/lab.ts"];
const INITRAMFS = "emulated-host-initramfs";

function lab(args: readonly string[], input?: string) {
  const env = { BLAZAR_CACHE: built().cache };
  return runToEnd([...LAB, ...args], { cwd: repoRoot(), env, ...(input === undefined ? {} : { input }) });
}

/** What is left of emulated hosts: QEMU, by its initramfs. */
async function machines(): Promise<string[]> {
  return (await processesOf([built().cache]))
    .filter(({ command }) => command.includes(INITRAMFS))
    .map(({ command }) => command);
}

describe("an emulated host", () => {
  it("has KVM and cgroup v2, and passes streams and the exit code; what is written is gone, but for results", async () => {
    const directory = await temporaryDirectory();
    const output = join(directory, "results");
    await mkdir(output);
    const trace = join(repoRoot(), "dist", "written-in-an-emulated-host");
    const script = [
      "cat; uname -n; ls /sys/fs/cgroup/cgroup.controllers; pwd; echo aside >&2",
      // KVM_GET_API_VERSION would need a program; a device without a kernel behind it cannot be opened
      "exec 3<> /dev/kvm && echo kvm",
      `echo result > /output/file; echo trace > ${trace} && ls ${trace}; exit 7`,
    ].join("; ");
    const ran = await lab(["host", "--output", output, "--", "sh", "-c", script], "one\ntwo\n");
    expect(ran.stdout.split("\n")).toEqual([
      ...["one", "two", "emulated-host", "/sys/fs/cgroup/cgroup.controllers", repoRoot(), "kvm", trace, ""],
    ]);
    expect(ran.stderr).toMatch(/^aside$/m);
    expect(ran.code).toBe(7);
    expect(await readFile(join(output, "file"), "utf8")).toBe("result\n");
    expect(existsSync(trace)).toBe(false);
    expect(await machines()).toEqual([]);
  });

  it("ends with a signal, and with its command's processes that linger", async () => {
    const child = spawn(LAB[0] ?? "", [...LAB.slice(1), "host", "--", "sh", "-c", "echo up; sleep 1000"], {
      cwd: repoRoot(),
      env: { ...process.env, BLAZAR_CACHE: built().cache },
      stdio: ["ignore", "pipe", "ignore"],
    });
    const ended = new Promise<number | null>((resolve) => void child.on("close", resolve));
    await new Promise((resolve) => void child.stdout.once("data", resolve));
    expect(await machines()).toHaveLength(1);
    child.kill("SIGTERM");
    expect(await ended).toBe(143);
    expect(await machines()).toEqual([]);
    const { code, stdout } = await lab(["host", "--", "sh", "-c", "sleep 1000 & echo left; exit 3"]);
    expect([stdout, code]).toEqual(["left\n", 3]);
  });

  it("ends with the process that has started it, however that ends", async () => {
    const child = spawn(LAB[0] ?? "", [...LAB.slice(1), "host", "--", "sh", "-c", "echo up; sleep 1000"], {
      cwd: repoRoot(),
      env: { ...process.env, BLAZAR_CACHE: built().cache },
      stdio: ["ignore", "pipe", "ignore"],
    });
    await new Promise((resolve) => void child.stdout.once("data", resolve));
    child.kill("SIGKILL");
    await until("the end of QEMU", async () => ((await machines()).length === 0 ? true : undefined));
  });

  it("that is not up in time is given up, with the last words of its console", async () => {
    const { code, stdout, stderr } = await lab(["host", "--boot-deadline", "1", "--", "true"]);
    expect([code, stdout]).toEqual([70, ""]);
    expect(stderr).toMatch(/cannot boot an emulated host: it was not up after 1 s; give it --boot-deadline/);
    expect(await machines()).toEqual([]);
  });

  it("is not begun where the command line is wrong", async () => {
    const { code, stderr } = await lab(["host", "--memory", "much"]);
    expect(code).toBe(64);
    expect(stderr).toContain("--memory");
  });
});
