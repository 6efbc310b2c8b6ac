/**
 * Makes a directory and those above it: mkdir(2); and tells whether somebody else could put things into one.
 *
 * Node's own `recursive` never ends where mkdir(2) says ENOENT although the parent is there, as in /proc.
 */
import type { Stats } from "node:fs";
import { mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";

const OTHERS_WRITE = 0o002;
const GROUP_WRITES = 0o020;

/** Why nothing in a directory can be trusted; undefined if it can. @param directory of lstat(2), where a link to one is none */
export function distrusted(directory: Stats): string | undefined {
  const { uid, gid, mode } = directory;
  if (directory.isSymbolicLink()) return "it is a symbolic link";
  if (!directory.isDirectory()) return "it is no directory";
  if (uid !== 0 && uid !== process.geteuid?.()) return `it belongs to user ${uid}`;
  const writers = gid === 0 ? OTHERS_WRITE : OTHERS_WRITE | GROUP_WRITES;
  return (mode & writers) === 0 ? undefined : "others may write to it";
}

/** A directory that is there stays as it is. @param mode of those that are made, less the umask */
export async function makeDirectories(path: string, mode = 0o777): Promise<void> {
  if (await made(path, mode)) return;
  await makeDirectories(dirname(path), mode);
  await mkdir(path, { mode }).catch((error: unknown) => acceptDirectory(path, error));
}

/** False if there is no parent. */
async function made(path: string, mode: number): Promise<boolean> {
  try {
    await mkdir(path, { mode });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT" && dirname(path) !== path) return false;
    await acceptDirectory(path, error);
  }
  return true;
}

async function acceptDirectory(path: string, error: unknown): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory() !== true) throw error;
}
