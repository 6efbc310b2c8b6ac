/**
 * What memory of the host is used for: free memory and page cache as proc_meminfo(5) has them, and the cached part of
 * large files as mincore(2) has it, by fincore(1).
 */
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { runProgram } from "../../lab/host/program.ts";

const KIB = 1024;

/** In bytes. */
export interface HostMemory {
  readonly available: number;
  readonly cached: number;
}

export async function hostMemory(): Promise<HostMemory> {
  const text = await readFile("/proc/meminfo", "utf8");
  const field = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(text)?.[1]) * KIB;
  return { available: field("MemAvailable"), cached: field("Cached") };
}

/** Writes everything back and drops the host's caches, so that a measurement begins without them. Needs root. */
export async function dropCaches(): Promise<void> {
  await runProgram("sync", []);
  await writeFile("/proc/sys/vm/drop_caches", "3");
}

/** Regular files of at least so many bytes on disk below directories, without crossing into other file systems. */
export async function largeFiles(directories: readonly string[], least: number): Promise<string[]> {
  const found: string[] = [];
  for (const directory of directories) {
    const { dev } = await stat(directory);
    await collect(directory, dev, least, found);
  }
  return found.sort();
}

async function collect(directory: string, dev: number, least: number, found: string[]): Promise<void> {
  const entries = await readdir(directory, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) {
    const path = join(directory, entry.name);
    const about = entry.isFile() || entry.isDirectory() ? await stat(path).catch(() => undefined) : undefined;
    if (about === undefined || about.dev !== dev) continue;
    if (about.isDirectory()) await collect(path, dev, least, found);
    else if (about.blocks * 512 >= least) found.push(path);
  }
}

/** Bytes of each file that are in the page cache, in the files' order. */
export async function cachedBytes(files: readonly string[]): Promise<number[]> {
  if (files.length === 0) return [];
  const text = await runProgram("fincore", ["--bytes", "--noheadings", "--output", "RES", "--", ...files]);
  return text
    .trim()
    .split("\n")
    .map((line) => Number(line));
}
