/**
 * Templates as they lie on disk, one directory each below the store's.
 *
 *     <key>/vm/               the driver's files, `Template.directory`
 *     <key>/template.json     what it is
 *     <key>/used              its mtime: when it was used last
 *     <key>/in-use.PID.START  a living process has leases on it
 *     .new-XXXXXX             being built; short, because unix sockets' paths in there are bounded
 *     .old-XXXXXX             being removed
 *     .lock                   held while one is built
 *
 * Only the daemon's user may look inside: a guest's memory is nobody else's to read, and VMMs get their files as descriptors.
 * A template is whole or not there: it appears and goes by rename(2). Nothing here decides which templates are kept.
 */
import { randomBytes } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod/mini";
import { blazarError, reasonOf } from "../../contracts/errors.ts";
import type { Template } from "../../contracts/templates.ts";
import type { VmShape } from "../../contracts/vm.ts";
import type { TemplateIdentity } from "../../contracts/vmm.ts";
import { isAlive, processStat } from "../../lib/processes.ts";

const KEY = /^[0-9a-f]{16,128}$/;
const TEMPORARY = /^\.(new|old)-/;
const MARKER = /^in-use\.(\d+)\.(\d+)$/;
const BLOCK_BYTES = 512;

const manifest = z.object({
  version: z.literal(1),
  key: z.string().check(z.regex(KEY)),
  parts: z.record(z.string(), z.string()),
  shape: z.object({ vcpus: z.int().check(z.minimum(1)), memoryBytes: z.int().check(z.minimum(1)) }),
  createdAt: z.iso.datetime(),
});

/** A directory that a template is built in. */
export interface Draft {
  readonly path: string;
  /** The driver's part of it; exists, empty. */
  readonly vm: string;
}

export class TemplateFiles {
  constructor(readonly root: string) {}

  get lockFile(): string {
    return join(this.root, ".lock");
  }

  /** Makes the store's directory. Throws HostResource. */
  async prepare(): Promise<void> {
    try {
      await mkdir(this.root, { recursive: true, mode: 0o700 });
    } catch (error) {
      const remedy = "set template.directory to one that can be written";
      const about = { subject: this.root, remedy, cause: error };
      throw blazarError("HostResource", "make the templates' directory", reasonOf(error), about);
    }
  }

  /** The driver's directory of a template. */
  directory(key: string): string {
    return join(this.root, key, "vm");
  }

  async keys(): Promise<string[]> {
    const names = await readdir(this.root).catch(absent);
    return (names ?? []).filter((name) => KEY.test(name));
  }

  /** Undefined = not there. Throws TemplateBroken. */
  async read(key: string): Promise<Template | undefined> {
    if (!KEY.test(key)) return undefined;
    const path = join(this.root, key);
    if ((await stat(path).catch(absent)) === undefined) return undefined;
    try {
      const { version, parts, shape, createdAt, ...said } = manifest.parse(
        JSON.parse(await readFile(join(path, "template.json"), "utf8")),
      );
      if (said.key !== key) throw new Error(`it describes ${said.key}`);
      const used = await stat(join(path, "used"));
      return {
        key,
        directory: this.directory(key),
        shape,
        identity: { key, parts },
        createdAt: new Date(createdAt),
        lastUsedAt: used.mtime,
        bytes: await allocated(path),
      };
    } catch (error) {
      // Another process has removed it meanwhile.
      if ((await stat(path).catch(absent)) === undefined) return undefined;
      const reason = reasonOf(error).split("\n")[0] ?? "";
      const operation = "read a template's description";
      throw blazarError("TemplateBroken", operation, reason, { subject: key, cause: error });
    }
  }

  async draft(): Promise<Draft> {
    const path = join(this.root, `.new-${randomBytes(3).toString("hex")}`);
    const vm = join(path, "vm");
    await mkdir(path, { mode: 0o700 });
    await mkdir(vm, { mode: 0o700 });
    return { path, vm };
  }

  /** Makes a draft a template, durably: its content is on disk before its name is. */
  async publish(draft: Draft, identity: TemplateIdentity, shape: VmShape, at: Date): Promise<void> {
    const content = {
      version: 1,
      key: identity.key,
      parts: identity.parts,
      shape: { vcpus: shape.vcpus, memoryBytes: shape.memoryBytes },
      createdAt: at.toISOString(),
    };
    await writeFile(join(draft.path, "template.json"), `${JSON.stringify(content, undefined, 2)}\n`);
    await writeFile(join(draft.path, "used"), "");
    await utimes(join(draft.path, "used"), at, at);
    for (const file of await filesBelow(draft.path)) await sync(file);
    await rename(draft.path, join(this.root, identity.key));
    await sync(this.root);
  }

  async drop(draft: Draft): Promise<void> {
    await rm(draft.path, { recursive: true, force: true });
  }

  /** Allocated bytes of a draft. */
  size(draft: Draft): Promise<number> {
    return allocated(draft.path);
  }

  /** Remembers that it is used now. False = it is gone. */
  async touch(key: string, at: Date): Promise<boolean> {
    try {
      await utimes(join(this.root, key, "used"), at, at);
      return true;
    } catch (error) {
      if (absent(error) === undefined) return false;
      throw error;
    }
  }

  /** Tells other processes that this one has leases on it, or no more. False = it is gone. */
  async mark(key: string, held: boolean): Promise<boolean> {
    const path = join(this.root, key, `in-use.${process.pid}.${(await processStat(process.pid))?.startTime}`);
    if (!held) {
      await rm(path, { force: true });
      return true;
    }
    try {
      await writeFile(path, "");
      return true;
    } catch (error) {
      if (absent(error) === undefined) return false;
      throw error;
    }
  }

  /** Whether a living process has leases on it. */
  async held(key: string): Promise<boolean> {
    return heldIn(join(this.root, key));
  }

  /**
   * Takes a template out of the store, then off the disk. With `evenIfHeld` false, one that is in use comes back: that is
   * checked when nobody can find it any more, so that no lease slips in between.
   */
  async remove(key: string, evenIfHeld: boolean): Promise<"removed" | "held" | "absent"> {
    if (!KEY.test(key)) return "absent";
    const path = join(this.root, key);
    const aside = join(this.root, `.old-${randomBytes(3).toString("hex")}`);
    try {
      await rename(path, aside);
    } catch (error) {
      if (absent(error) === undefined) return "absent";
    }
    if (!evenIfHeld && (await heldIn(aside))) {
      await rename(aside, path);
      return "held";
    }
    await rm(aside, { recursive: true, force: true });
    return "removed";
  }

  /** Removes what a crash has left half built or half removed; the caller holds the lock. */
  async sweep(): Promise<void> {
    const names = (await readdir(this.root)).filter((name) => TEMPORARY.test(name));
    for (const name of names) await rm(join(this.root, name), { recursive: true, force: true });
  }
}

/** Undefined for ENOENT; throws everything else. */
function absent(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
}

async function heldIn(directory: string): Promise<boolean> {
  const names = (await readdir(directory).catch(absent)) ?? [];
  for (const name of names) {
    const [, pid, start] = MARKER.exec(name) ?? [];
    if (pid !== undefined && (await isAlive({ pid: Number(pid), startTime: Number(start) }))) return true;
  }
  return false;
}

async function filesBelow(directory: string): Promise<string[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}

async function allocated(directory: string): Promise<number> {
  const sizes = (await filesBelow(directory)).map(async (file) => (await stat(file)).blocks * BLOCK_BYTES);
  return (await Promise.all(sizes)).reduce((sum, bytes) => sum + bytes, 0);
}

async function sync(path: string): Promise<void> {
  const file = await open(path, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
