/**
 * Images as they lie on disk, one directory each below the store's ({@link KeptDirectories}).
 *
 *     <key>/image.erofs   the disk
 *     <key>/image.json    what it is, and its hash
 *     <key>/held.HOLDER   a lease: it holds the id of the boot that it was taken in, and counts until the next one
 *     .new-XXXXXX/view    a mount of the layers while the image is made
 *
 * Leases are marks on disk, because a container may outlive the daemon that started it. Nothing here decides which images
 * are kept.
 */
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod/mini";
import { blazarError, reasonOf } from "../../../contracts/errors.ts";
import { type LayerImage, SLOT_BYTES } from "../../../contracts/images.ts";
import { absent, KeptDirectories } from "../../builds/kept-directories.ts";
import { currentBoot } from "./chain-key.ts";

const HOLDER = "held.";

const manifest = z.object({
  version: z.literal(1),
  key: z.string(),
  lower: z.array(z.string()),
  size: z.int().check(z.minimum(1)),
  sha256: z.string(),
  createdAt: z.iso.datetime(),
});

/** What an image's manifest says of its content. */
export interface ImageContent {
  readonly size: number;
  readonly sha256: string;
}

export class ImageFiles {
  private readonly kept: KeptDirectories;

  constructor(root: string) {
    this.kept = new KeptDirectories(root, async (directory) => (await holdersIn(directory)).length > 0);
  }

  get lockFile(): string {
    return this.kept.lockFile;
  }

  prepare(): Promise<void> {
    return this.kept.prepare("image.directory");
  }

  keys(): Promise<string[]> {
    return this.kept.keys();
  }

  /** Undefined = not there. Throws ImageBroken. */
  async read(key: string): Promise<(LayerImage & ImageContent) | undefined> {
    if (!(await this.kept.has(key))) return undefined;
    const directory = this.kept.path(key);
    const path = imageIn(directory);
    try {
      const { lower, size, sha256, createdAt, ...said } = manifest.parse(
        JSON.parse(await readFile(join(directory, "image.json"), "utf8")),
      );
      if (said.key !== key) throw new Error(`it describes ${said.key}`);
      const found = await stat(path);
      if (found.size !== SLOT_BYTES) throw new Error(`its file has ${found.size} bytes`);
      return {
        ...{ key, path, lower, size, sha256 },
        bytes: await this.kept.size(directory),
        createdAt: new Date(createdAt),
        lastUsedAt: await this.kept.lastUsedAt(key),
        holders: await holdersIn(directory),
      };
    } catch (error) {
      // Another process has removed it meanwhile.
      if (!(await this.kept.has(key))) return undefined;
      const reason = reasonOf(error).split("\n")[0] ?? "";
      throw blazarError("ImageBroken", "read an image's description", reason, { subject: key, cause: error });
    }
  }

  /** A new directory to make an image in. */
  draft(): Promise<string> {
    return this.kept.draft();
  }

  /** Makes a draft an image, durably: its content is on disk before its name is. */
  async publish(
    draft: string,
    key: string,
    lower: readonly string[],
    content: ImageContent,
    at: Date,
  ): Promise<void> {
    const { size, sha256 } = content;
    const said = { version: 1, key, lower, size, sha256, createdAt: at.toISOString() };
    await writeFile(join(draft, "image.json"), `${JSON.stringify(said, undefined, 2)}\n`);
    await this.kept.publish(draft, key, at);
  }

  drop(draft: string): Promise<void> {
    return this.kept.drop(draft);
  }

  /** Allocated bytes of a draft. */
  size(draft: string): Promise<number> {
    return this.kept.size(draft);
  }

  /** Takes a lease for a holder and remembers that the image is used now. False = it is gone. */
  async hold(key: string, holder: string, at: Date): Promise<boolean> {
    const marked = await this.kept.mark(key, HOLDER + holder, await currentBoot());
    return marked && (await this.kept.touch(key, at));
  }

  /** Idempotent. */
  release(key: string, holder: string): Promise<void> {
    return this.kept.unmark(key, HOLDER + holder);
  }

  held(key: string): Promise<boolean> {
    return this.kept.held(key);
  }

  remove(key: string, evenIfHeld: boolean): Promise<"removed" | "held" | "absent"> {
    return this.kept.remove(key, evenIfHeld);
  }

  leftovers(): Promise<string[]> {
    return this.kept.leftovers();
  }
}

/** The disk in a directory of the store, or in a draft. */
export function imageIn(directory: string): string {
  return join(directory, "image.erofs");
}

/** A lease of an earlier boot counts no more: no VM has survived. */
async function holdersIn(directory: string): Promise<string[]> {
  const names = (await readdir(directory).catch(absent)) ?? [];
  const boot = await currentBoot();
  const holders = names
    .filter((name) => name.startsWith(HOLDER))
    .map(async (name) => {
      const of = await readFile(join(directory, name), "latin1").catch(absent);
      // a mark that is being written is empty
      return of === boot || of === "" ? [name.slice(HOLDER.length)] : [];
    });
  return (await Promise.all(holders)).flat();
}
