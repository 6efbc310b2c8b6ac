/**
 * Finds the helper of an uplink that has lost its keeper, and gives it to the present one.
 *
 * It is ours if its standard error is this uplink's log: the same file, by device and inode. The directory belongs to a user that
 * nobody else is, so nobody else has that file open.
 */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { BlazarError } from "../../../contracts/errors.ts";
import type { Keeper } from "../../../contracts/keeper.ts";
import { processStat } from "../../../lib/processes/processes.ts";
import { LOG_FILE } from "./pasta.ts";

/** Does nothing if the keeper knows the helper, or if there is none. Throws what the keeper says. */
export async function adoptOrphan(
  keeper: Pick<Keeper, "inventory" | "adopt">,
  directory: string,
  helper: string,
): Promise<void> {
  if (keeper.inventory().processes.some(({ id }) => id === helper)) return;
  const log = await fileAt(join(directory, LOG_FILE));
  if (log === undefined) return;
  for (const name of await readdir("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    // before its file is looked at: the keeper refuses a later process with its pid
    const startTime = (await processStat(pid))?.startTime;
    if (startTime === undefined || (await fileAt(`/proc/${pid}/fd/2`)) !== log) continue;
    return await keeper.adopt(helper, { pid, startTime }).catch(unlessEnded);
  }
}

async function fileAt(path: string): Promise<string | undefined> {
  const found = await stat(path).catch(() => undefined);
  return found && `${found.dev}:${found.ino}`;
}

function unlessEnded(error: unknown): void {
  if (!(error instanceof BlazarError && error.code === "ProcessNotFound")) throw error;
}
