/**
 * Makes a directory and those above it: mkdir(2).
 *
 * Node's own `recursive` never ends where mkdir(2) says ENOENT although the parent is there, as in /proc.
 */
import { mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";

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
