/**
 * Runs whose process was killed by SIGKILL: nobody was left to clean up, so the next run does.
 *
 * A run writes down who it is (pid and start time, field 22 of /proc/PID/stat); a directory whose owner is gone is
 * abandoned. Only the same user's directories are touched, and only processes that its keeper says are its own.
 */
import { lstat, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "../contracts/logger.ts";
import { connectKeeper } from "../host/keeper/client.ts";

const OWNER_FILE = "owner";
const KEEPER_TIMEOUT_MS = 1_000;
const SIGKILL = 9;

/** Says whose the run in `directory` is: this process's. */
export async function claim(directory: string): Promise<void> {
  await writeFile(join(directory, OWNER_FILE), await identityOf("self"), { mode: 0o600 });
}

/** Ends what abandoned runs have left: their VMs, keepers and directories. Never rejects. */
export async function sweepAbandoned(temporary: string, prefix: string, logger: Logger): Promise<void> {
  const names = await readdir(temporary).catch(() => []);
  for (const name of names.filter((each) => each.startsWith(prefix))) {
    const directory = join(temporary, name);
    try {
      if (await isAbandoned(directory)) await sweep(directory, logger);
    } catch (error) {
      logger.warn({ err: error, directory }, "could not clear up after a run that was killed");
    }
  }
}

/** A directory without an owner yet is one that is just being made. */
async function isAbandoned(directory: string): Promise<boolean> {
  const found = await lstat(directory);
  if (!found.isDirectory() || found.uid !== process.getuid?.()) return false;
  const owner = await readFile(join(directory, OWNER_FILE), "utf8").catch(() => undefined);
  if (owner === undefined) return false;
  const [pid = ""] = owner.split(" ");
  return owner !== (await identityOf(pid).catch(() => ""));
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
  logger.info({ directory }, "cleared up after a run that was killed");
}

/** `<pid> <start time>`. */
async function identityOf(pid: string): Promise<string> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  const startTime = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
  return `${stat.split(" ", 1)[0]} ${startTime}`;
}
