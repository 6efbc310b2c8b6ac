/**
 * A store on disk of things that are made once and kept: one directory each, named by its key.
 *
 *     <key>/          whole; its file `used` has the time of the last use as its mtime
 *     .new-XXXXXX/    being made; short, because unix sockets' paths in there are bounded
 *     .old-XXXXXX/    being removed
 *     .lock           held while one is made
 *
 * A directory is whole or not there: it appears and goes by rename(2). A store that others may write to is refused. Must not
 * know what is in a directory, nor who holds it.
 */
import { randomBytes } from "node:crypto";
import { mkdir, open, readdir, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { BlazarError, blazarError, reasonOf } from "../../contracts/errors.ts";
import { distrusted, makeDirectories } from "../../lib/directories.ts";

const KEY = /^[0-9a-f]{16,128}$/;
const TEMPORARY = /^\.(new|old)-[0-9a-f]{6}$/;
const BLOCK_BYTES = 512;

export class KeptDirectories {
  private trusted = false;

  /** @param heldIn whether somebody uses what is in a directory */
  constructor(
    readonly root: string,
    private readonly heldIn: (directory: string) => Promise<boolean>,
  ) {}

  get lockFile(): string {
    return join(this.root, ".lock");
  }

  /** Makes the store's directory, which only its owner may look into. Throws HostResource naming the key. */
  async prepare(configKey: string): Promise<void> {
    try {
      await makeDirectories(this.root, 0o700);
    } catch (error) {
      const remedy = `set ${configKey} to one that can be written`;
      const about = { subject: this.root, remedy, cause: error };
      throw blazarError("HostResource", "make a store's directory", reasonOf(error), about);
    }
    await this.check();
  }

  /** The directory of a key, whether it is there or not. */
  path(key: string): string {
    return join(this.root, key);
  }

  /** Throws HostResource. */
  async keys(): Promise<string[]> {
    await this.check();
    return (await this.entries()).filter((name) => KEY.test(name));
  }

  /** Throws HostResource. */
  async has(key: string): Promise<boolean> {
    await this.check();
    return KEY.test(key) && (await stat(this.path(key)).catch(absent)) !== undefined;
  }

  /** When it was used last. */
  async lastUsedAt(key: string): Promise<Date> {
    return (await stat(join(this.path(key), "used"))).mtime;
  }

  /** A new directory to make something in. */
  async draft(): Promise<string> {
    const path = join(this.root, `.new-${randomBytes(3).toString("hex")}`);
    await mkdir(path, { mode: 0o700 });
    return path;
  }

  /** Gives a draft its key, durably: its content is on disk before its name is. */
  async publish(draft: string, key: string, at: Date): Promise<void> {
    await writeFile(join(draft, "used"), "");
    await utimes(join(draft, "used"), at, at);
    for (const file of await filesBelow(draft)) await sync(file);
    await rename(draft, this.path(key));
    await sync(this.root);
  }

  async drop(draft: string): Promise<void> {
    await rm(draft, { recursive: true, force: true });
  }

  /** Allocated bytes of a directory: a key's or a draft. */
  async size(directory: string): Promise<number> {
    const sizes = (await filesBelow(directory)).map(async (file) => (await stat(file)).blocks * BLOCK_BYTES);
    return (await Promise.all(sizes)).reduce((sum, bytes) => sum + bytes, 0);
  }

  /** Remembers that it is used now. False = it is gone. */
  async touch(key: string, at: Date): Promise<boolean> {
    return there(utimes(join(this.path(key), "used"), at, at));
  }

  /** Makes a mark on it: a file of this name, whole or not there. False = it is gone. Throws HostResource. */
  async mark(key: string, name: string, text = ""): Promise<boolean> {
    await this.check();
    const draft = join(this.path(key), `.mark-${randomBytes(6).toString("hex")}`);
    return there(writeFile(draft, text).then(() => rename(draft, join(this.path(key), name))));
  }

  async unmark(key: string, name: string): Promise<void> {
    await rm(join(this.path(key), name), { force: true });
  }

  async held(key: string): Promise<boolean> {
    return this.heldIn(this.path(key));
  }

  /**
   * Takes one out of the store, then off the disk. With `evenIfHeld` false, one that is in use comes back: that is
   * checked when nobody can find it any more, so that no lease slips in between.
   */
  async remove(key: string, evenIfHeld: boolean): Promise<"removed" | "held" | "absent"> {
    if (!(await this.has(key))) return "absent";
    if (!evenIfHeld && (await this.held(key))) return "held";
    const path = this.path(key);
    const aside = join(this.root, `.old-${randomBytes(3).toString("hex")}`);
    if (!(await there(rename(path, aside)))) return "absent";
    if (!evenIfHeld && (await this.heldIn(aside))) {
      await rename(aside, path);
      return "held";
    }
    await rm(aside, { recursive: true, force: true });
    return "removed";
  }

  /** What a crash has left half made or half removed; the caller holds the lock. */
  async leftovers(): Promise<string[]> {
    return (await this.entries()).filter((name) => TEMPORARY.test(name)).map((name) => join(this.root, name));
  }

  /** Names of the directories in the store. */
  private async entries(): Promise<string[]> {
    const found = await this.read(() => readdir(this.root, { withFileTypes: true }));
    return (found ?? []).filter((entry) => entry.isDirectory()).map(({ name }) => name);
  }

  /** Throws HostResource if somebody else could put things into the store: VMs are made of them. */
  private async check(): Promise<void> {
    if (this.trusted) return;
    const found = await this.read(() => stat(this.root));
    if (found === undefined) return;
    const reason = distrusted(found);
    if (reason !== undefined) {
      const about = { subject: this.root, remedy: "name a directory that only its owner may write to" };
      throw blazarError("HostResource", "use a store's directory", reason, about);
    }
    this.trusted = true;
  }

  /** Undefined: there is no store yet. Throws HostResource. */
  private async read<T>(call: () => Promise<T>): Promise<T | undefined> {
    try {
      return await call().catch(absent);
    } catch (error) {
      throw BlazarError.wrap(error, "HostResource", {
        operation: "use a store's directory",
        subject: this.root,
      });
    }
  }
}

/** Undefined for ENOENT; throws everything else. */
export function absent(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
}

/** False if what the call works on does not exist. */
async function there(call: Promise<unknown>): Promise<boolean> {
  try {
    await call;
    return true;
  } catch (error) {
    absent(error);
    return false;
  }
}

async function filesBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

async function sync(path: string): Promise<void> {
  const file = await open(path, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
