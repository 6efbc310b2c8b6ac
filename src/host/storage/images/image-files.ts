/**
 * Images as they lie on disk, one directory each below the store's ({@link KeptDirectories}).
 *
 *     <key>/image.erofs   the disk
 *     <key>/image.json    what it is, and its hash
 *     <key>/held.HOLDER   a lease: it says in which boot it was taken, counts until the next one, and names its owner
 *     .new-XXXXXX/view    a mount of the layers while the image is made
 *
 * Leases are marks on disk, because a container may outlive the daemon that started it. An owner is a daemon and those after
 * it: whoever has one state directory. Nothing here decides which images are kept.
 */
import { readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import * as z from "zod/mini";
import { BlazarError, blazarError } from "../../../contracts/errors.ts";
import { type LayerImage, SLOT_BYTES } from "../../../contracts/images.ts";
import { absent, KeptDirectories } from "../../builds/kept-directories.ts";
import { problemOf, readSmallFile } from "../../builds/small-file.ts";
import { currentBoot } from "./chain-key.ts";

const HOLDER = "held.";
/** A mark is a boot and an owner; what is longer, or no file, is none. */
const MARK_BYTES = 256;

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

  private ownerId: Promise<string> | undefined;

  /** @param stateDirectory of whoever takes leases here; it is not looked at before the first one */
  constructor(
    root: string,
    private readonly stateDirectory: string,
  ) {
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
        JSON.parse(await readSmallFile(join(directory, "image.json"))),
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
      if (error instanceof BlazarError) throw error;
      const about = { subject: key, remedy: `remove it: blazar image rm ${key}`, cause: error };
      throw blazarError("ImageBroken", "read an image's description", problemOf(error), about);
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
    const marked = await this.kept.mark(
      key,
      HOLDER + holder,
      markOf(await currentBoot(), await this.owner()),
    );
    return marked && (await this.kept.touch(key, at));
  }

  /** Idempotent. */
  release(key: string, holder: string): Promise<void> {
    return this.kept.unmark(key, HOLDER + holder);
  }

  /** Who has leases of this owner on an image. */
  async ownHolders(key: string): Promise<string[]> {
    const marks = await marksIn(this.kept.path(key));
    const own = markOf(await currentBoot(), await this.owner());
    return marks.filter(({ text }) => text === own).map(({ holder }) => holder);
  }

  /** All leases of this owner. */
  async allOwn(): Promise<{ readonly key: string; readonly holder: string }[]> {
    const keys = await this.kept.keys();
    const all = keys.map(async (key) => (await this.ownHolders(key)).map((holder) => ({ key, holder })));
    return (await Promise.all(all)).flat();
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

  /** Path alone would not do: daemons in containers may have the same. */
  private owner(): Promise<string> {
    this.ownerId ??= stat(this.stateDirectory).then(({ dev, ino }) => `${dev}:${ino}`);
    return this.ownerId;
  }
}

/** The disk in a directory of the store, or in a draft. */
export function imageIn(directory: string): string {
  return join(directory, "image.erofs");
}

interface Mark {
  readonly holder: string;
  readonly text: string;
}

function markOf(boot: string, owner: string): string {
  return `${boot} ${owner}`;
}

async function marksIn(directory: string): Promise<Mark[]> {
  const names = (await readdir(directory).catch(absent)) ?? [];
  const marks = names
    .filter((name) => name.startsWith(HOLDER))
    .map(async (name) => {
      const text = await readSmallFile(join(directory, name), MARK_BYTES).catch(noMark);
      return text === undefined ? [] : [{ holder: name.slice(HOLDER.length), text }];
    });
  return (await Promise.all(marks)).flat();
}

/** Undefined for what is gone, no file, or larger than a mark. Throws everything else: what cannot be read may be a lease. */
function noMark(error: unknown): undefined {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== undefined && !["ENOENT", "ELOOP", "ENXIO"].includes(code)) throw error;
}

/** A lease of an earlier boot counts no more: no VM has survived. */
async function holdersIn(directory: string): Promise<string[]> {
  const boot = await currentBoot();
  const marks = await marksIn(directory);
  return marks.filter(({ text }) => text.startsWith(`${boot} `)).map(({ holder }) => holder);
}
