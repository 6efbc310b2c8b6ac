/** Which process has a state directory, and which one serves a socket: on processes of this test's own. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { lockState } from "../../../src/daemon/state-lock.ts";
import { holderOf, processNaming } from "../../../src/standalone/doctor/holder.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

describe("who has a state directory", () => {
  it("is the process that holds its lock, and nobody after its end", async () => {
    const state = await temporaryDirectory();
    const lock = await lockState(state);
    expect(await holderOf(state)).toMatchObject({ pid: process.pid });
    await lock.release();
    expect(await holderOf(state)).toBeUndefined();
  });

  it("is nobody whose pid merely stands in the file", async () => {
    const state = await temporaryDirectory();
    await writeFile(join(state, "daemon.lock"), `${process.pid}\n`);
    expect(await holderOf(state)).toBeUndefined();
    await writeFile(join(state, "daemon.lock"), "garbage");
    expect(await holderOf(state)).toBeUndefined();
  });
});

describe("a lock whose file was removed", () => {
  it("still keeps a second daemon away", async () => {
    const state = await temporaryDirectory();
    const lock = await lockState(state);
    await rm(join(state, "daemon.lock"));
    await expect(lockState(state)).rejects.toMatchObject({ code: "DaemonRunning" });
    await lock.release();
    const next = await lockState(state);
    await next.release();
  });
});

describe("who serves a socket", () => {
  it("is found by the command line, with what its process does", async () => {
    const socket = join(await temporaryDirectory(), "keeper.sock");
    expect(await processNaming(["--control", socket])).toBeUndefined();
    const child = spawn("sh", ["-c", "echo up; read line", "keeper", "--control", socket]);
    onTestFinished(() => ended(child));
    await once(child.stdout, "data");
    expect(await processNaming(["--control", socket])).toMatchObject({ pid: child.pid });
    child.kill("SIGSTOP");
    await vi.waitFor(async () =>
      expect(await processNaming(["--control", socket])).toEqual({ pid: child.pid, state: "T" }),
    );
  });
});

async function ended(child: ChildProcess): Promise<void> {
  child.kill("SIGKILL");
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
}
