/**
 * A sparse disk image as a small file: a line of JSON that lists the ranges of its data, then the data.
 *
 * Everything outside these ranges is zeros. So an image of many gigabytes with a few hundred kilobytes of data takes
 * these kilobytes only. The file gets its name when it is complete (rename(2)). Synchronous: for workers.
 */
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
} from "node:fs";
import { BlazarError } from "../../contracts/errors.ts";
import { integer, object } from "../../protocol/wire/json.ts";
import { describeErrno, nextData } from "../libc/libc.ts";
import { type ImageContent, type Owner, unfinishedName, writeAll, writeImage } from "./disk-image.ts";

/** Data is found in blocks of this size, a filesystem's. */
const BLOCK_BYTES = 4096;
/** How much is read at a time. */
const CHUNK_BYTES = 1024 * 1024;
const NEWLINE = 0x0a;

const checkSize = object({ size: integer(0) });
const checkExtent = object({ offset: integer(0), length: integer(1) });

/** Writes the data of `image` to a new file. */
export function packImage(image: string, packed: string): void {
  const { size, pieces } = readImage(image);
  const extents = pieces.map(({ offset, bytes }) => ({ offset, length: bytes.length }));
  const unfinished = unfinishedName(packed);
  const { O_CREAT, O_EXCL, O_WRONLY } = constants;
  const fd = openSync(unfinished, O_CREAT | O_EXCL | O_WRONLY, 0o444);
  try {
    const header = Buffer.from(`${JSON.stringify({ size, extents })}\n`);
    let position = 0;
    for (const bytes of [header, ...pieces.map((piece) => piece.bytes)]) {
      writeAll(fd, bytes, position);
      position += bytes.length;
    }
  } catch (error) {
    rmSync(unfinished, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
  renameSync(unfinished, packed);
}

/** Makes the image that was packed, mode 0600, with space for its first `reserved` bytes. */
export function unpackImage(packed: string, image: string, owner: Owner | undefined, reserved = 0): void {
  writeImage(image, readPacked(packed), owner, reserved);
}

function readPacked(packed: string): ImageContent {
  const content = readFileSync(packed);
  const end = content.indexOf(NEWLINE);
  try {
    const header: unknown = JSON.parse(content.toString("utf8", 0, end));
    const { size } = checkSize(header, "header");
    let at = end + 1;
    const pieces = extentsOf(header).map(({ offset, length }) => {
      const bytes = content.subarray(at, at + length);
      at += length;
      return { offset, bytes };
    });
    if (at !== content.length) throw new Error(`${at} bytes were expected, it has ${content.length}`);
    return { size, pieces };
  } catch (cause) {
    const about = { operation: "read a packed disk image", subject: packed };
    throw BlazarError.wrap(cause, "StorageFailed", about);
  }
}

/** Not by `array` of json.ts, which bounds its lists: a hostile guest may have filled an image with small ranges. */
function extentsOf(header: unknown): { offset: number; length: number }[] {
  const { extents } = header as { readonly extents?: unknown };
  if (!Array.isArray(extents)) throw new Error("it lists no extents");
  return extents.map((extent: unknown) => checkExtent(extent, "extent"));
}

function readImage(path: string): ImageContent {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const pieces: { offset: number; bytes: Buffer }[] = [];
    for (let offset = 0; ; ) {
      const range = nextData(fd, offset);
      if (typeof range === "number") throw new Error(`find its data: ${describeErrno(-range)}`);
      if (range === undefined) return { size: fstatSync(fd).size, pieces };
      for (offset = range.start; offset < range.end; ) {
        const length = Math.min(CHUNK_BYTES, range.end - offset);
        pieces.push(...blocksOf(fd, offset, length));
        offset += length;
      }
    }
  } finally {
    closeSync(fd);
  }
}

/** Runs of blocks that are not all zeros. */
function blocksOf(fd: number, start: number, length: number): { offset: number; bytes: Buffer }[] {
  const chunk = Buffer.alloc(length);
  const read = readSync(fd, chunk, 0, length, start);
  const zeros = Buffer.alloc(BLOCK_BYTES);
  const runs: { offset: number; bytes: Buffer }[] = [];
  let from: number | undefined;
  for (let at = 0; at <= read; at += BLOCK_BYTES) {
    const block = chunk.subarray(at, Math.min(at + BLOCK_BYTES, read));
    const isData = block.length > 0 && !block.equals(zeros.subarray(0, block.length));
    if (isData) from ??= at;
    else if (from !== undefined) {
      runs.push({ offset: start + from, bytes: chunk.subarray(from, at) });
      from = undefined;
    }
  }
  if (from !== undefined) runs.push({ offset: start + from, bytes: chunk.subarray(from, read) });
  return runs;
}
