/**
 * Whether a bundle is of the sources that are there: their names, sizes and times are kept beside it.
 *
 * In an emulated host a bundle takes minutes, and a look at its sources a second.
 */
import { createHash } from "node:crypto";
import { readdir, readFile, stat } from "node:fs/promises";
import path from "node:path";
import { replaceFile } from "./replace-file.ts";

const STAMP = ".built.json";

interface Stamp {
  readonly sources: string;
  /** Relative to the bundle's directory. */
  readonly outputs: readonly string[];
}

/** What a bundle of these directories and files would be made of. @param more what else decides */
export async function sourcesStamp(places: readonly string[], more: string): Promise<string> {
  const lines: string[] = [];
  const add = async (file: string): Promise<void> => {
    // an editor's lock is a link to nowhere, and its temporary files come and go
    const status = await stat(file).catch(() => undefined);
    if (status?.isFile() === true) lines.push(`${file} ${status.size} ${status.mtimeMs}`);
  };
  for (const place of places) {
    const within = (await stat(place)).isDirectory() ? await readdir(place, { recursive: true }) : [""];
    await Promise.all(within.map((name) => add(path.join(place, name))));
  }
  return createHash("sha256")
    .update([more, ...lines.sort()].join("\n"))
    .digest("hex");
}

/** Whether the directory has a bundle of these sources, all of it. */
export async function isBuilt(directory: string, sources: string): Promise<boolean> {
  try {
    const stamp = JSON.parse(await readFile(path.join(directory, STAMP), "utf8")) as Stamp;
    await Promise.all(stamp.outputs.map((output) => stat(path.join(directory, output))));
    return stamp.sources === sources;
  } catch {
    return false;
  }
}

/** @param outputs absolute paths below the directory */
export async function noteBuilt(
  directory: string,
  sources: string,
  outputs: readonly string[],
): Promise<void> {
  const stamp: Stamp = { sources, outputs: outputs.map((output) => path.relative(directory, output)) };
  await replaceFile(path.join(directory, STAMP), Buffer.from(JSON.stringify(stamp)));
}
