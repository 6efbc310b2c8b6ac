/** A process is its pid and its start time. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, expect, test, vi } from "vitest";
import { isAlive, parseProcessStat, processStat } from "../../../src/lib/processes/processes.ts";

/** A line of /proc/PID/stat: the fields that are not named here are their own numbers. */
function statOf(name: string, state: string, startTime: string): string {
  const rest = Array.from({ length: 18 }, (_, index) => index + 4);
  return `4711 (${name}) ${state} ${rest.join(" ")} ${startTime} 23 24`;
}

describe("a line of /proc/PID/stat", () => {
  test.each(["qemu", "a name", "a) R 1 (b", ")", "((("])("is read although the name is %j", (name) => {
    expect(parseProcessStat(statOf(name, "S", "123456"))).toEqual({
      state: "S",
      startTime: 123_456,
      parent: 4,
      session: 6,
      cpuMs: (14 + 15) * 10,
      residentBytes: 24 * 4096,
    });
  });

  test.each(["", "4711 (qemu) S 1 2", statOf("qemu", "S", "soon")])(
    "that is no such line (%j) is nobody's",
    (text) => {
      expect(parseProcessStat(text)).toBeUndefined();
    },
  );
});

describe("a process", () => {
  test("that runs is alive under its start time, and under no other one", async () => {
    const stat = await processStat(process.pid);
    const startTime = stat?.startTime ?? 0;
    expect(stat?.state).toMatch(/^[RSD]$/);
    expect(await isAlive({ pid: process.pid, startTime })).toBe(true);
    expect(await isAlive({ pid: process.pid, startTime: startTime + 1 })).toBe(false);
  });

  test("that has ended is not", async () => {
    const child = spawn("sleep", ["60"]);
    await once(child, "spawn");
    const pid = child.pid ?? 0;
    const startTime = (await processStat(pid))?.startTime ?? 0;
    expect(await isAlive({ pid, startTime })).toBe(true);
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(await processStat(pid)).toBeUndefined();
    expect(await isAlive({ pid, startTime })).toBe(false);
  });

  test("that is a zombie is not", async () => {
    // the shell becomes cat, which never waits for the child that the shell has started
    const parent = spawn("sh", ["-c", "sleep 60 & echo $!; exec cat"]);
    try {
      const [text] = await once(parent.stdout, "data");
      const pid = Number(String(text));
      parent.stdin.write("the shell is cat now");
      await once(parent.stdout, "data");
      process.kill(pid, "SIGKILL");
      const startTime = await vi.waitFor(async () => {
        const stat = await processStat(pid);
        expect(stat?.state).toBe("Z");
        return stat?.startTime ?? 0;
      });
      expect(await isAlive({ pid, startTime })).toBe(false);
    } finally {
      parent.kill("SIGKILL");
    }
  });
});
