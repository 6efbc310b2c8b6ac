/** The helper of an uplink is found by its log, after daemon and keeper have died. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { blazarError } from "../../../../src/contracts/errors.ts";
import type { KeeperInventory } from "../../../../src/contracts/keeper.ts";
import { adoptOrphan } from "../../../../src/host/network/host-network/orphan.ts";
import { LOG_FILE } from "../../../../src/host/network/host-network/pasta.ts";
import { processStat } from "../../../../src/lib/processes/processes.ts";

let directory = "";
const children: ChildProcess[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "blazar-orphan-"));
});

afterEach(async () => {
  for (const child of children.splice(0)) {
    const ended = once(child, "exit");
    child.kill("SIGKILL");
    await ended;
  }
  await rm(directory, { recursive: true });
});

/** Sleeps, with its standard error in this file. */
async function sleeper(log: string): Promise<number> {
  const fd = openSync(log, "a");
  const child = spawn("sleep", ["60"], { stdio: ["ignore", "ignore", fd] });
  closeSync(fd);
  children.push(child);
  await once(child, "spawn");
  return child.pid ?? 0;
}

function keeperWith(processes: KeeperInventory["processes"] = []) {
  return { inventory: () => ({ processes, stdio: [] }), adopt: vi.fn(async () => undefined) };
}

it("is the process whose standard error that is", async () => {
  const keeper = keeperWith();
  await sleeper(join(directory, "another.log"));
  const pid = await sleeper(join(directory, LOG_FILE));
  await adoptOrphan(keeper, directory, "pod.pasta");
  const { startTime } = (await processStat(pid)) ?? {};
  expect(keeper.adopt.mock.calls).toEqual([["pod.pasta", { pid, startTime }]]);
});

it("is left alone if the keeper has it, and need not be there", async () => {
  const identity = { pid: await sleeper(join(directory, LOG_FILE)), startTime: 1 };
  const knowing = keeperWith([{ id: "pod.pasta", identity }]);
  await adoptOrphan(knowing, directory, "pod.pasta");
  const none = keeperWith();
  await adoptOrphan(none, join(directory, "nowhere"), "pod.pasta");
  expect([knowing.adopt, none.adopt].map((each) => each.mock.calls)).toEqual([[], []]);
});

it("may end while it is looked for; what else the keeper says is told", async () => {
  await sleeper(join(directory, LOG_FILE));
  const refusing = (code: "ProcessNotFound" | "Unimplemented") => ({
    ...keeperWith(),
    adopt: () => Promise.reject(blazarError(code, "adopt a process", "no")),
  });
  await adoptOrphan(refusing("ProcessNotFound"), directory, "pod.pasta");
  await expect(adoptOrphan(refusing("Unimplemented"), directory, "pod.pasta")).rejects.toMatchObject({
    code: "Unimplemented",
  });
});
