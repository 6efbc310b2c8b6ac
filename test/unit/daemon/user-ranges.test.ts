/** Two daemons of one host that give their VMs the same users. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { announceUsers, type UserRange } from "../../../src/daemon/user-ranges.ts";
import { CapturedLogger } from "../../support/captured-logger.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

const open: { close(): void }[] = [];
afterEach(() => {
  for (const each of open.splice(0)) each.close();
});

async function warnings(range: UserRange, directory: string, names?: string): Promise<unknown[]> {
  const logger = new CapturedLogger();
  open.push(await announceUsers(range, directory, logger, names));
  return logger.lines.filter(({ level }) => level === "warn");
}

/** Not those of any daemon that runs beside the test. */
const FIRST = 3_000_000_000 + (process.pid % 10_000) * 1000;

it("warns of a daemon with some of the same users, and names them", async () => {
  expect(await warnings({ firstUid: FIRST, count: 100 }, "/run/one")).toEqual([]);
  const [warning] = await warnings({ firstUid: FIRST + 99, count: 100 }, "/run/two");
  expect(warning).toMatchObject({ fields: { range: `${FIRST} to ${FIRST + 99}` } });
});

it("says nothing of users beside its own, of its own earlier process, or once the other has ended", async () => {
  expect(await warnings({ firstUid: FIRST, count: 100 }, "/run/one")).toEqual([]);
  expect(await warnings({ firstUid: FIRST + 100, count: 100 }, "/run/two")).toEqual([]);
  expect(await warnings({ firstUid: FIRST, count: 100 }, "/run/one")).toEqual([]);
  for (const each of open.splice(0)) each.close();
  expect(await warnings({ firstUid: FIRST, count: 100 }, "/run/three")).toEqual([]);
});

it("takes no name for a daemon's that is none", async () => {
  const names = join(await temporaryDirectory(), "unix");
  const line = (name: string): string => `0000: 00000002 00000000 00010000 0001 01 1234 ${name}\n`;
  const mark = "0123456789ab";
  const odd = [`@blazar-users/x-1/${mark}`, "@blazar-users/1-2/short", `/blazar-users/0-9/${mark}`, "", "@"];
  await writeFile(names, odd.map(line).join(""));
  expect(await warnings({ firstUid: FIRST, count: 100 }, "/run/one", names)).toEqual([]);
});
