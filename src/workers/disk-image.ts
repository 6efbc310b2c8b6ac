/**
 * Copies the empty ext4 image that every writable layer starts from.
 *
 * Set-up lists the image's few bytes that are not zero, so a copy is a sparse file of its size with those written.
 * A copy appears under its name in one piece (rename(2)), so that a crash never leaves half of one to be used.
 * Synchronous: for workers.
 */
import {
  chmodSync,
  closeSync,
  constants,
  fchownSync,
  ftruncateSync,
  lchownSync,
  lstatSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { blazarError } from "../contracts/errors.ts";

/** Where the empty image is, and the JSON file that lists its data: `{size, extents: [[offset, length], …]}`. */
export interface EmptyImage {
  readonly image: string;
  readonly extents: string;
}

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** What there is in an image beside zeros. */
export interface ImageContent {
  readonly size: number;
  readonly pieces: readonly { readonly offset: number; readonly bytes: Buffer }[];
}

/** By path of the image; an image never changes in place. */
const loaded = new Map<string, ImageContent>();

/** Makes `path` a copy of the empty image, mode 0600. */
export function copyEmptyImage(empty: EmptyImage, path: string, owner: Owner | undefined): void {
  writeImage(path, load(empty), owner);
}

/** Makes `path` an image of this content, mode 0600. */
export function writeImage(path: string, { size, pieces }: ImageContent, owner: Owner | undefined): void {
  const unfinished = unfinishedName(path);
  rmSync(unfinished, { force: true });
  const { O_CREAT, O_EXCL, O_WRONLY, O_NOFOLLOW } = constants;
  const fd = openSync(unfinished, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o600);
  try {
    ftruncateSync(fd, size);
    for (const { offset, bytes } of pieces) writeAll(fd, bytes, offset);
    if (owner !== undefined) fchownSync(fd, owner.uid, owner.gid);
  } catch (error) {
    rmSync(unfinished, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
  renameSync(unfinished, path);
}

/** What a copy is called until it is complete. */
export function unfinishedName(path: string): string {
  return `${path}.new`;
}

/** True if there is an image at `path` from an earlier run of the container; it is given to `owner`. */
export function adoptImage(path: string, owner: Owner | undefined): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return false;
  if (!found.isFile()) {
    throw blazarError("StorageFailed", "reuse the container's writable layer", "it is not a regular file", {
      subject: path,
    });
  }
  if (owner !== undefined) lchownSync(path, owner.uid, owner.gid);
  chmodSync(path, 0o600);
  return true;
}

function load(empty: EmptyImage): ImageContent {
  const known = loaded.get(empty.image);
  if (known !== undefined) return known;
  const { size, extents } = readExtents(empty.extents);
  const fd = openSync(empty.image, "r");
  try {
    const pieces = extents.map(([offset, length]) => {
      const bytes = Buffer.alloc(length);
      readSync(fd, bytes, 0, length, offset);
      return { offset, bytes };
    });
    const image = { size, pieces };
    loaded.set(empty.image, image);
    return image;
  } finally {
    closeSync(fd);
  }
}

function readExtents(file: string): { size: number; extents: [number, number][] } {
  const parsed: unknown = JSON.parse(readFileSync(file, "utf8"));
  const { size, extents } = parsed as { size?: unknown; extents?: unknown };
  const isExtent = (each: unknown): each is [number, number] =>
    Array.isArray(each) && each.length === 2 && each.every((part) => Number.isSafeInteger(part) && part >= 0);
  if (typeof size !== "number" || !Array.isArray(extents) || !extents.every(isExtent)) {
    throw blazarError(
      "StorageFailed",
      "read the empty image's list of data",
      "it is not {size, extents: [[offset, length], …]}",
      { subject: file, remedy: "run: npm run setup" },
    );
  }
  return { size, extents };
}

/** Writes all of it, however often it takes. */
export function writeAll(fd: number, bytes: Buffer, offset: number): void {
  for (let done = 0; done < bytes.length; )
    done += writeSync(fd, bytes, done, bytes.length - done, offset + done);
}
