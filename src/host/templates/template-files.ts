/**
 * Templates as they lie on disk, one directory each below the store's ({@link KeptDirectories}).
 *
 *     <key>/vm/               the driver's files, `Template.directory`
 *     <key>/template.json     what it is
 *     <key>/in-use.PID.START  a living process has leases on it
 *
 * Only the daemon's user may look inside: a guest's memory is nobody else's to read, and VMMs get their files as descriptors.
 * Nothing here decides which templates are kept.
 */
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod/mini";
import { BlazarError, blazarError } from "../../contracts/errors.ts";
import type { Template } from "../../contracts/templates.ts";
import type { VmShape } from "../../contracts/vm.ts";
import type { TemplateIdentity } from "../../contracts/vmm.ts";
import { isAlive, processStat } from "../../lib/processes/processes.ts";
import { absent, KeptDirectories } from "../builds/kept-directories.ts";
import { problemOf, readSmallFile } from "../builds/small-file.ts";

const MARKER = /^in-use\.(\d+)\.(\d+)$/;

const manifest = z.object({
  version: z.literal(1),
  key: z.string(),
  parts: z.record(z.string(), z.string()),
  shape: z.object({
    vcpus: z.int().check(z.minimum(1)),
    memoryBytes: z.int().check(z.minimum(1)),
    nics: z._default(z.int().check(z.minimum(0)), 0),
  }),
  createdAt: z.iso.datetime(),
});

/** A directory that a template is built in. */
export interface Draft {
  readonly path: string;
  /** The driver's part of it; exists, empty. */
  readonly vm: string;
}

export class TemplateFiles {
  private readonly kept: KeptDirectories;

  constructor(root: string) {
    this.kept = new KeptDirectories(root, heldIn);
  }

  get lockFile(): string {
    return this.kept.lockFile;
  }

  /** Makes the store's directory. Throws HostResource. */
  prepare(): Promise<void> {
    return this.kept.prepare("template.directory");
  }

  /** The driver's directory of a template. */
  directory(key: string): string {
    return join(this.kept.path(key), "vm");
  }

  keys(): Promise<string[]> {
    return this.kept.keys();
  }

  /** Undefined = not there. Throws TemplateBroken. */
  async read(key: string): Promise<Template | undefined> {
    if (!(await this.kept.has(key))) return undefined;
    const path = this.kept.path(key);
    try {
      const { version, parts, shape, createdAt, ...said } = manifest.parse(
        JSON.parse(await readSmallFile(join(path, "template.json"))),
      );
      if (said.key !== key) throw new Error(`it describes ${said.key}`);
      return {
        key,
        directory: this.directory(key),
        shape,
        identity: { key, parts },
        createdAt: new Date(createdAt),
        lastUsedAt: await this.kept.lastUsedAt(key),
        bytes: await this.kept.size(path),
      };
    } catch (error) {
      // Another process has removed it meanwhile.
      if (!(await this.kept.has(key))) return undefined;
      if (error instanceof BlazarError) throw error;
      const about = { subject: key, remedy: `remove it: blazar template rm ${key}`, cause: error };
      throw blazarError("TemplateBroken", "read a template's description", problemOf(error), about);
    }
  }

  async draft(): Promise<Draft> {
    const path = await this.kept.draft();
    const vm = join(path, "vm");
    await mkdir(vm, { mode: 0o700 });
    return { path, vm };
  }

  /** Makes a draft a template, durably: its content is on disk before its name is. */
  async publish(draft: Draft, identity: TemplateIdentity, shape: VmShape, at: Date): Promise<void> {
    const content = {
      version: 1,
      key: identity.key,
      parts: identity.parts,
      shape: { vcpus: shape.vcpus, memoryBytes: shape.memoryBytes, nics: shape.nics },
      createdAt: at.toISOString(),
    };
    await writeFile(join(draft.path, "template.json"), `${JSON.stringify(content, undefined, 2)}\n`);
    await this.kept.publish(draft.path, identity.key, at);
  }

  drop(draft: Draft): Promise<void> {
    return this.kept.drop(draft.path);
  }

  /** Allocated bytes of a draft. */
  size(draft: Draft): Promise<number> {
    return this.kept.size(draft.path);
  }

  /** Remembers that it is used now. False = it is gone. */
  touch(key: string, at: Date): Promise<boolean> {
    return this.kept.touch(key, at);
  }

  /** Tells other processes that this one has leases on it, or no more. False = it is gone. */
  async mark(key: string, held: boolean): Promise<boolean> {
    const name = `in-use.${process.pid}.${(await processStat(process.pid))?.startTime}`;
    if (held) return this.kept.mark(key, name);
    await this.kept.unmark(key, name);
    return true;
  }

  /** Whether a living process has leases on it. */
  held(key: string): Promise<boolean> {
    return this.kept.held(key);
  }

  /** Takes a template out of the store, then off the disk. With `evenIfHeld` false, one that is in use stays. */
  remove(key: string, evenIfHeld: boolean): Promise<"removed" | "held" | "absent"> {
    return this.kept.remove(key, evenIfHeld);
  }

  /** Removes what a crash has left half built or half removed; the caller holds the lock. */
  async sweep(): Promise<void> {
    for (const path of await this.kept.leftovers()) await rm(path, { recursive: true, force: true });
  }
}

async function heldIn(directory: string): Promise<boolean> {
  const names = (await readdir(directory).catch(absent)) ?? [];
  for (const name of names) {
    const [, pid, start] = MARKER.exec(name) ?? [];
    if (pid !== undefined && (await isAlive({ pid: Number(pid), startTime: Number(start) }))) return true;
  }
  return false;
}
