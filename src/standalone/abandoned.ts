/**
 * Cleaning up after runs that were killed by SIGKILL: the next run does it.
 *
 * A run writes its pid and start time into its directory. A directory whose owner is gone is abandoned. Only the same
 * user's directories are touched, and only processes that the directory's keeper calls its own.
 */
import { lstat, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "../contracts/logger.ts";
import { connectKeeper } from "../host/keeper/client.ts";
import { isAlive, type ProcessKey, processStat } from "../lib/processes/processes.ts";
import { SIGKILL } from "../lib/signals.ts";

const OWNER_FILE = "owner";
const KEEPER_TIMEOUT_MS = 1_000;

/** Makes this process the owner of the run in `directory`. */
export async function claim(directory: string): Promise<void> {
  const { pid } = process;
  const stat = await processStat(pid);
  await writeFile(join(directory, OWNER_FILE), `${pid} ${stat?.startTime}`, { mode: 0o600 });
}

/** Ends what abandoned runs have left: their VMs, keepers and directories. Never rejects. */
export async function sweepAbandoned(temporary: string, prefix: string, logger: Logger): Promise<void> {
  const names = await readdir(temporary).catch(() => []);
  for (const name of names.filter((each) => each.startsWith(prefix))) {
    const directory = join(temporary, name);
    try {
      if (await isAbandoned(directory)) await sweep(directory, logger);
    } catch (error) {
      logger.warn({ err: error, directory }, "could not clean up after a run that was killed");
    }
  }
}

/** A directory without an owner is just being made by another run; one that is gone was removed by its own. */
async function isAbandoned(directory: string): Promise<boolean> {
  const found = await lstat(directory).catch(() => undefined);
  if (found === undefined || !found.isDirectory() || found.uid !== process.getuid?.()) return false;
  const owner = await ownerOf(directory);
  return owner !== undefined && !(await isAlive(owner));
}

async function ownerOf(directory: string): Promise<ProcessKey | undefined> {
  const text = await readFile(join(directory, OWNER_FILE), "utf8").catch(() => undefined);
  const [, pid, startTime] = /^(\d+) (\d+)$/.exec(text ?? "") ?? [];
  return pid === undefined ? undefined : { pid: Number(pid), startTime: Number(startTime) };
}

async function sweep(directory: string, logger: Logger): Promise<void> {
  const control = join(directory, "keeper.sock");
  const keeper = await connectKeeper({ control, log: logger, connectTimeoutMs: KEEPER_TIMEOUT_MS }).catch(
    () => undefined,
  );
  for (const { id, exit } of keeper?.inventory().processes ?? []) {
    if (exit === undefined) await keeper?.signal(id, SIGKILL);
    await keeper?.exited(id);
    await keeper?.forget(id);
  }
  await keeper?.shutdown();
  await rm(directory, { recursive: true, force: true });
  logger.info({ directory }, "cleaned up after a run that was killed");
}
