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
    try {
      for (const file of procs) writeFileSync(file, String(child.pid));
      const memberships = readFileSync(`/proc/${child.pid}/cgroup`, "utf8").split("\n");
      expect(memberships.filter((line) => line.endsWith(`${ownGroup}/${id}`))).toHaveLength(procs.length);
      const impatient = new HostCgroups({ ownGroup, delay: async () => undefined });
      await expect(impatient.remove(directories)).rejects.toMatchObject({ code: "HostResource" });
      expect(child.exitCode).toBeNull();
    } finally {
      child.kill("SIGKILL");
      await once(child, "exit");
    }
    await cgroups.remove(directories);
    expect(directories.filter((directory) => existsSync(directory))).toEqual([]);
    expect(directories.every((directory) => path.dirname(directory) !== "/")).toBe(true);
  });
});
