/** Runs that were killed: their directories are removed, those of living runs are not. */
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { silentLogger } from "../../../src/contracts/logger.ts";
import { processStat } from "../../../src/lib/processes/processes.ts";
import { claim, sweepAbandoned } from "../../../src/standalone/abandoned.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";

it("a run's directory is removed only if its owner is gone", async () => {
  const temporary = await temporaryDirectory();
  const make = async (name: string, owner: string | undefined) => {
    await mkdir(join(temporary, name));
    if (owner !== undefined) await writeFile(join(temporary, name, "owner"), owner);
  };
  const { startTime = 0 } = (await processStat(process.pid)) ?? {};
  await make("run-dead", `${2 ** 22 + 1} 5`);
  await make("run-pid-given-out-again", `${process.pid} ${startTime + 1}`);
  await make("run-just-being-made", undefined);
  await make("else", `${2 ** 22 + 1} 5`);
  await mkdir(join(temporary, "run-mine"));
  await claim(join(temporary, "run-mine"));
  await sweepAbandoned(temporary, "run-", silentLogger);
  expect((await readdir(temporary)).sort()).toEqual(["else", "run-just-being-made", "run-mine"]);
});
