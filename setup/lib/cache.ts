/**
 * The cache of built things: `<cache>/<kind>/<key>/`. The key is a hash of everything that an entry is made of.
 *
 * An entry is filled under a temporary name and renamed when it is whole, so a crash leaves no half entry. The next
 * holder of the lock removes what a crash has left. A named entry never changes. Callers must hold the lock (lock.ts).
 */
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, stat, utimes } from "node:fs/promises";
import path from "node:path";

/** How many entries of one kind stay: several checkouts, or going back and forth between commits. */
const KEPT_ENTRIES = 6;

/** A hash over texts and file contents, in order. */
export function contentKey(parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash("sha256");
  for (const part of parts) {
    hash.update(`${part.length}:`);
    hash.update(part);
  }
  return hash.digest("hex").slice(0, 24);
}

/** Reads files for {@link contentKey}, each preceded by its name relative to `root`. */
export async function filesForKey(root: string, files: readonly string[]): Promise<(string | Uint8Array)[]> {
  const contents = await Promise.all(files.map((file) => readFile(file)));
  return files.flatMap((file, index) => [path.relative(root, file), contents[index] ?? ""]);
}

/** The cache in one directory. */
export class Cache {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  /** Where the entry is or would be. */
  entry(kind: string, key: string): string {
    return path.join(this.directory, kind, key);
  }

  has(kind: string, key: string): boolean {
    return existsSync(this.entry(kind, key));
  }

  /** The entry's directory, filled first if there is none; `fill` gets an empty directory to write to. */
  async ensure(kind: string, key: string, fill: (directory: string) => Promise<void>): Promise<string> {
    const entry = this.entry(kind, key);
    if (existsSync(entry)) {
      const now = new Date();
      await utimes(entry, now, now);
      return entry;
    }
    const partial = path.join(this.directory, "partial", `${kind}-${key}`);
    await rm(partial, { recursive: true, force: true });
    await mkdir(partial, { recursive: true });
    try {
      await fill(partial);
      await mkdir(path.dirname(entry), { recursive: true });
      await rename(partial, entry);
    } catch (error) {
      await rm(partial, { recursive: true, force: true });
      throw error;
    }
    return entry;
  }

  /** Removes what a crashed set-up left half done. */
  async sweep(): Promise<void> {
    await rm(path.join(this.directory, "partial"), { recursive: true, force: true });
  }

  /** Keeps the entries used last and removes the others of this kind. */
  async prune(kind: string): Promise<void> {
    const directory = path.join(this.directory, kind);
    const names = await readdir(directory).catch(() => []);
    if (names.length <= KEPT_ENTRIES) return;
    const used = await Promise.all(
      names.map(async (name) => ({ name, time: (await stat(path.join(directory, name))).mtimeMs })),
    );
    used.sort((a, b) => b.time - a.time);
    for (const { name } of used.slice(KEPT_ENTRIES)) {
      await rm(path.join(directory, name), { recursive: true, force: true });
    }
  }
}
