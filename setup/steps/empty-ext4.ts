/**
 * Step: the empty ext4 image that writable layers start as, and the list of its few bytes that are not zero (mke2fs(8)).
 *
 * It is copied at each container start, so it must be nearly empty: no journal (the layer ends with its VM), no backup
 * superblocks, metadata left for the kernel to write. To copy it, make a file of `size` and write the listed extents. It
 * must be made on zeroes: then the kernel need not zero the inode tables.
 */
import { open, readFile, rm, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { blazarError } from "../../src/contracts/errors.ts";
import { type Cache, contentKey } from "../lib/cache.ts";
import { run } from "../lib/command.ts";
import { findProgram } from "./packages.ts";
import type { Step } from "./steps.ts";

/** The empty image. */
export interface EmptyExt4 {
  /** The sparse image file. */
  readonly image: string;
  /** A JSON file, {@link ImageExtents}. */
  readonly extents: string;
}

/** The parts of a sparse image that are not zero. */
export interface ImageExtents {
  /** The image's apparent size in bytes. */
  readonly size: number;
  /** `[offset, length]` in bytes, ascending. */
  readonly extents: readonly (readonly [number, number])[];
  /**
   * Bytes at the start that a copy gets space for on the host before anything is written: superblock, group descriptors and
   * all bitmaps. A bitmap that the full host had no place for would be forgotten, and its blocks given away twice.
   */
  readonly reserved: number;
}

/** Apparent size; BLAZAR_LAYER_SIZE takes mke2fs's notation. */
const DEFAULT_SIZE = "16G";
const OPTIONS = [
  ...["-t", "ext4", "-m", "0", "-L", "blazar-layer", "-e", "continue"],
  // flex groups as large as the image keep all metadata in one place; checksums cost guest CPU and guard nothing here
  ...["-O", "^has_journal,^resize_inode,^metadata_csum,uninit_bg,sparse_super2,flex_bg,extent", "-G", "256"],
  ...["-E", "root_owner=0:0,nodiscard,assume_storage_prezeroed=1,lazy_itable_init=1,num_backup_sb=0"],
];
const BLOCK = 4096;
const TAR_BLOCK = 512;
/** Flags of a block group, ext4's on-disk format (Documentation/filesystems/ext4/group_descr.rst). */
const INODE_UNINIT = 0x1;
const INODE_ZEROED = 0x4;

export function emptyExt4Step(cache: Cache): Step<EmptyExt4> {
  const size = process.env["BLAZAR_LAYER_SIZE"] ?? DEFAULT_SIZE;
  const key = contentKey(["3", size, ...OPTIONS]);
  const ensure = async (): Promise<EmptyExt4> => {
    const entry = await cache.ensure("empty-ext4", key, (directory) => build(directory, size));
    return { image: path.join(entry, "empty.ext4"), extents: path.join(entry, "extents.json") };
  };
  return {
    name: "empty writable layer",
    why: `makes the sparse ${size} ext4 image that containers' writable layers are copied from`,
    upToDate: async () => (cache.has("empty-ext4", key) ? await ensure() : undefined),
    run: ensure,
  };
}

async function build(entry: string, size: string): Promise<void> {
  const image = path.join(entry, "empty.ext4");
  const raw = path.join(entry, "raw");
  const remedy =
    "check that the cache's file system has sparse files, or set BLAZAR_LAYER_SIZE smaller (such as 4G)";
  await run(findProgram("mkfs.ext4") ?? "mkfs.ext4", ["-q", "-F", ...OPTIONS, raw, size], { remedy });
  const reserved = await vouchForBitmaps(raw, path.join(entry, "debugfs"));
  // mke2fs writes zeroes here and there; cp leaves them out
  await run("cp", ["--sparse=always", raw, image], { remedy });
  await rm(raw);
  await writeFile(
    path.join(entry, "extents.json"),
    `${JSON.stringify({ ...(await findExtents(image)), reserved })}\n`,
  );
}

/**
 * Marks the block bitmaps of empty groups as valid: they are zeroes on the disk, no block is in use. mke2fs leaves them
 * to the kernel (BLOCK_UNINIT). At every mount the kernel would then count the blocks of each group's inode table, one
 * by one: a tenth of the instructions of a container's start.
 * @returns {@link ImageExtents.reserved}
 */
async function vouchForBitmaps(image: string, script: string): Promise<number> {
  const tool = (name: string, args: readonly string[]) => run(findProgram(name) ?? name, args);
  const listing = await tool("dumpe2fs", [image]);
  const groups = emptyGroups(listing);
  const commands = groups.flatMap((group) => [
    `set_bg ${group} flags ${INODE_UNINIT | INODE_ZEROED}`,
    `set_bg ${group} checksum calc`,
  ]);
  await writeFile(script, `${commands.join("\n")}\n`);
  await tool("debugfs", ["-w", "-f", script, image]);
  await rm(script);
  // debugfs(8) succeeds whatever became of its commands
  await tool("e2fsck", ["-f", "-n", image]);
  return bookkeepingBytes(listing);
}

/** What is before the first inode table, by dumpe2fs(8)'s listing: with one flex group, all bitmaps are there. */
export function bookkeepingBytes(listing: string): number {
  const [, block] = /Inode table at (\d+)/.exec(listing) ?? [];
  return Number(block ?? 0) * BLOCK;
}

/** Numbers of the groups that hold no block of anything, by dumpe2fs(8)'s listing. */
export function emptyGroups(listing: string): number[] {
  return listing
    .split(/^(?=Group \d+:)/m)
    .map((text) => ({
      head: /^Group (\d+): \(Blocks (\d+)-(\d+)\).*\bBLOCK_UNINIT\b.*\bITABLE_ZEROED\b/.exec(text),
      free: /^\s+(\d+) free blocks/m.exec(text),
    }))
    .filter(({ head, free }) => head && free && Number(free[1]) === Number(head[3]) - Number(head[2]) + 1)
    .map(({ head }) => Number(head?.[1]));
}

/** The parts of a sparse file that hold anything but zeroes. */
export async function findExtents(image: string): Promise<Omit<ImageExtents, "reserved">> {
  const { size } = await stat(image);
  const candidates = await dataRanges(image);
  await using file = await open(image, "r");
  const extents: [number, number][] = [];
  for (const [offset, length] of candidates) {
    const { buffer } = await file.read(Buffer.alloc(length), 0, length, offset);
    for (let at = 0; at < length; at += BLOCK) {
      const block = buffer.subarray(at, at + BLOCK);
      if (block.every((byte) => byte === 0)) continue;
      const last = extents.at(-1);
      if (last !== undefined && last[0] + last[1] === offset + at) last[1] += block.length;
      else extents.push([offset + at, block.length]);
    }
  }
  return { size, extents };
}

/**
 * Where the data of a sparse file is. Node has no SEEK_DATA; GNU tar has, and writes what it found as text
 * at the head of a member (the tar manual, "Storing Sparse Files", version 1.0).
 */
async function dataRanges(image: string): Promise<[number, number][]> {
  const archive = await run("tar", [
    ...["--create", "--sparse", "--format=posix", "--sparse-version=1.0", "--file=-"],
    ...["-C", path.dirname(image), path.basename(image)],
  ]);
  const extendedHeader = Number.parseInt(archive.slice(124, 136), 8);
  const member = TAR_BLOCK + Math.ceil(extendedHeader / TAR_BLOCK) * TAR_BLOCK;
  const numbers = archive.slice(member + TAR_BLOCK).split("\n");
  const count = Number(numbers[0]);
  if (!Number.isSafeInteger(count) || count < 1) {
    throw blazarError("StorageFailed", "find the data of the empty image", "tar lists no data in it", {
      subject: image,
      remedy: "check that tar is GNU tar and the cache's file system has sparse files",
    });
  }
  return Array.from({ length: count }, (_, index): [number, number] => {
    return [Number(numbers[1 + 2 * index]), Number(numbers[2 + 2 * index])];
  }).filter(([, length]) => length > 0);
}

/** Reads an extents file. */
export async function readExtents(file: string): Promise<ImageExtents> {
  return JSON.parse(await readFile(file, "utf8")) as ImageExtents;
}
