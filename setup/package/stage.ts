/**
 * Writes the files of a package below a directory, all with the release's time and root's default modes.
 */
import { chmod, copyFile, lutimes, mkdir, readdir, rm, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import type { Entry } from "./entry.ts";

const DIRECTORY = 0o755;

/** The directory is made anew. */
export async function stage(directory: string, entries: readonly Entry[], epoch: number): Promise<void> {
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  for (const entry of entries) await write(path.join(directory, entry.path), entry);
  // a directory's time is that of the last file in it
  const all = await readdir(directory, { recursive: true, withFileTypes: true });
  const paths = all.map((each) => path.join(each.parentPath, each.name));
  for (const each of all)
    if (each.isDirectory()) await chmod(path.join(each.parentPath, each.name), DIRECTORY);
  await chmod(directory, DIRECTORY);
  for (const file of [directory, ...paths]) await lutimes(file, epoch, epoch);
}

async function write(file: string, entry: Entry): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true });
  if ("link" in entry) return await symlink(entry.link, file);
  if ("source" in entry) await copyFile(entry.source, file);
  else await writeFile(file, entry.content);
  await chmod(file, entry.mode);
}
