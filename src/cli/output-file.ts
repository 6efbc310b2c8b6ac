/**
 * Writes a file that an operator has named: whole or not at all, and for its owner only.
 *
 * The bytes go into a new file beside it, which then takes its name. So nothing is written through a link that somebody else has
 * put there, and a full disk leaves nothing behind. What is no regular file, such as a pipe, is written to as it is, unless it is a
 * pipe that another user has put there: whoever reads it would get the bytes.
 */
import { randomBytes } from "node:crypto";
import { lstat, open, rename, rm, writeFile } from "node:fs/promises";
import { blazarError, reasonOf } from "../contracts/errors.ts";

/** @throws BlazarError `HostResource` */
export async function writeOutput(file: string, bytes: Uint8Array, operation: string): Promise<void> {
  try {
    if (await isReplaceable(file)) await replace(file, bytes);
    else await writeFile(file, bytes);
  } catch (cause) {
    const remedy = "name another file by --file; with - it is standard output";
    throw blazarError("HostResource", operation, reasonOf(cause), { subject: file, remedy, cause });
  }
}

/** Nothing is there, a file, a link to whatever it may be, or somebody else's pipe. */
async function isReplaceable(file: string): Promise<boolean> {
  const stats = await lstat(file).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
  });
  if (stats === undefined || stats.isFile() || stats.isSymbolicLink()) return true;
  return stats.isFIFO() && stats.uid !== process.geteuid?.();
}

async function replace(file: string, bytes: Uint8Array): Promise<void> {
  const partial = `${file}.${randomBytes(6).toString("hex")}.partial`;
  try {
    const handle = await open(partial, "wx", 0o600);
    try {
      await handle.writeFile(bytes);
    } finally {
      await handle.close();
    }
    await rename(partial, file);
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  }
}
