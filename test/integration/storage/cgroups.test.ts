import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { HostCgroups } from "../../../src/host/cgroups/host-cgroups.ts";

const isRoot = process.getuid?.() === 0;
const ownGroup = `/blazar-test-${process.pid}`;
const id = "s1";

describe.skipIf(!isRoot)("control groups on a real kernel", () => {
  const cgroups = new HostCgroups({ ownGroup });

  afterEach(async () => {
    const { directories } = await cgroups.plan(id, "");
    await cgroups.remove(directories);
  });

  test("a process can enter every one of a sandbox's groups, which go when it has ended", async () => {
    const { directories, procs } = await cgroups.plan(id, "");
    await cgroups.make(directories);
    const child = spawn("sleep", ["60"], { stdio: "ignore" });
    const ended = once(child, "exit");
    try {
      for (const file of procs) writeFileSync(file, String(child.pid));
      const memberships = readFileSync(`/proc/${child.pid}/cgroup`, "utf8").split("\n");
      expect(memberships.filter((line) => line.endsWith(`${ownGroup}/${id}`))).toHaveLength(procs.length);
    } finally {
      child.kill("SIGKILL");
      await ended;
    }
    await cgroups.remove(directories);
    expect(directories.filter((directory) => existsSync(directory))).toEqual([]);
    expect(directories.every((directory) => path.dirname(directory) !== "/")).toBe(true);
  });

  test("a sandbox's own group has the limits of its VM, which the kernel holds it to", async () => {
    const { directories, procs } = await cgroups.plan(id, "");
    await cgroups.make(directories, { memoryBytes: 64 * 2 ** 20, tasks: 3 });
    const own = directories.filter((directory) => directory.endsWith(`/${id}`));
    const pids = own.find((directory) => existsSync(path.join(directory, "pids.max"))) ?? "";
    const memory = own.flatMap((directory) =>
      ["memory.max", "memory.limit_in_bytes"].map((name) => path.join(directory, name)).filter(existsSync),
    );
    expect(memory.map((file) => readFileSync(file, "utf8").trim())).toEqual([String(64 * 2 ** 20)]);
    const enter = procs.map((file) => `echo $$ > ${file}`).join("; ");
    // two more than may be
    const bomb = `${enter}; for each in 1 2 3 4 5; do sleep 30 & done; wait`;
    const shell = spawn("sh", ["-c", bomb], { stdio: ["ignore", "ignore", "pipe"] });
    let said = "";
    shell.stderr.on("data", (bytes: Buffer) => {
      said += bytes.toString();
    });
    try {
      await expect.poll(() => said, { timeout: 10_000 }).toMatch(/fork/i);
      expect(Number(readFileSync(path.join(pids, "pids.current"), "utf8"))).toBeLessThanOrEqual(3);
    } finally {
      await cgroups.remove(directories);
    }
  });

  test("a process in a pod's group is killed in the pod's turn when the host is out of memory", async () => {
    const parent = `${ownGroup}/kubepods/besteffort/pod1`;
    const { directories, procs } = await cgroups.plan(id, parent);
    await cgroups.make(directories);
    const child = spawn("sleep", ["60"], { stdio: "ignore" });
    const ended = once(child, "exit");
    try {
      await cgroups.enter(procs, child.pid ?? 0);
      expect(readFileSync(`/proc/${child.pid}/oom_score_adj`, "utf8")).toBe("1000\n");
    } finally {
      child.kill("SIGKILL");
      await ended;
      await cgroups.remove(directories);
    }
  });

  test("a process that stays in a group is killed when the group goes, and no other", async () => {
    const { directories, procs } = await cgroups.plan(id, "");
    const other = await cgroups.plan("s2", "");
    await cgroups.make([...directories, ...other.directories]);
    const [stray, bystander] = [1, 2].map(() => spawn("sleep", ["60"], { stdio: "ignore" }));
    const ended = once(stray ?? process, "exit");
    try {
      for (const file of procs) writeFileSync(file, String(stray?.pid));
      for (const file of other.procs) writeFileSync(file, String(bystander?.pid));
      await cgroups.remove(directories);
      expect(await ended).toEqual([null, "SIGKILL"]);
      const own = directories.filter((directory) => directory.endsWith(`/${id}`));
      expect(own.filter((directory) => existsSync(directory))).toEqual([]);
      expect({ code: bystander?.exitCode, signal: bystander?.signalCode }).toEqual({
        code: null,
        signal: null,
      });
    } finally {
      stray?.kill("SIGKILL");
      bystander?.kill("SIGKILL");
      await cgroups.remove(other.directories);
    }
  });
});
