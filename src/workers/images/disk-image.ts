/**
 * Copies the empty ext4 image that every writable layer starts from.
 *
 * `npm run setup` makes the image and lists the few ranges of it that are not zero. A copy is a sparse file with these
 * ranges written. It gets its name when it is complete (rename(2)), so that nobody uses half a copy after a crash.
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
import { blazarError } from "../../contracts/errors.ts";
import { allocate, EOPNOTSUPP, systemError } from "../libc/libc.ts";

/**
 * The paths of the empty image and of the JSON file that lists its data: `{size, extents: [[offset, length], …], reserved}`.
 * A copy gets space for its first `reserved` bytes at once (setup/steps/empty-ext4.ts). With `packed: true` the image's file is
 * no sparse file but has the extents one after the other: a package cannot have holes.
 */
export interface EmptyImage {
  readonly image: string;
  readonly extents: string;
}

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** An image without its zeros. */
export interface ImageContent {
  readonly size: number;
  readonly pieces: readonly { readonly offset: number; readonly bytes: Buffer }[];
}

/** The empty image, as it was read. */
interface LoadedImage extends ImageContent {
  readonly reserved: number;
}

/** By path of the image; an image never changes in place. */
const loaded = new Map<string, LoadedImage>();

/** Makes `path` a copy of the empty image, mode 0600. */
export function copyEmptyImage(empty: EmptyImage, path: string, owner: Owner | undefined): void {
  const image = load(empty);
  writeImage(path, image, owner, image.reserved);
}

/** Bytes at the start of a copy of the empty image that have space on the host. */
export function reservedBytes(empty: EmptyImage): number {
  return load(empty).reserved;
}

/** Makes `path` an image of this content, mode 0600, with space for its first `reserved` bytes. */
export function writeImage(
  path: string,
  { size, pieces }: ImageContent,
  owner: Owner | undefined,
  reserved = 0,
): void {
  const unfinished = unfinishedName(path);
  rmSync(unfinished, { force: true });
  const { O_CREAT, O_EXCL, O_WRONLY, O_NOFOLLOW } = constants;
  const fd = openSync(unfinished, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o600);
  try {
    ftruncateSync(fd, size);
    if (reserved > 0) reserve(fd, reserved, path);
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

/** The name of a copy until it is complete. */
export function unfinishedName(path: string): string {
  return `${path}.new`;
}

/** True if an earlier run of the container has left an image at `path`; `owner` gets it. */
export function adoptImage(path: string, owner: Owner | undefined): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return false;
  if (!found.isFile()) {
    const operation = "reuse the container's writable layer";
    throw blazarError("StorageFailed", operation, "it is not a regular file", { subject: path });
  }
  if (owner !== undefined) lchownSync(path, owner.uid, owner.gid);
  chmodSync(path, 0o600);
  return true;
}

/** Not every file system can; then a copy starts without. */
function reserve(fd: number, bytes: number, path: string): void {
  const errno = allocate(fd, bytes);
  if (errno === 0 || errno === EOPNOTSUPP) return;
  const about = { operation: "make space for a writable layer", subject: path, what: "fallocate" };
  throw systemError("StorageFailed", errno, about);
}

function load(empty: EmptyImage): LoadedImage {
  const known = loaded.get(empty.image);
  if (known !== undefined) return known;
  const { size, extents, reserved, packed } = readExtents(empty.extents);
  const fd = openSync(empty.image, "r");
  try {
    let next = 0;
    const pieces = extents.map(([offset, length]) => {
      const bytes = Buffer.alloc(length);
      readWhole(fd, bytes, packed ? next : offset, empty.image);
      next += length;
      return { offset, bytes };
    });
    const image = { size, pieces, reserved };
    loaded.set(empty.image, image);
    return image;
  } finally {
    closeSync(fd);
  }
}

function readWhole(fd: number, bytes: Buffer, at: number, path: string): void {
  if (readSync(fd, bytes, 0, bytes.length, at) === bytes.length) return;
  const about = { subject: path, remedy: "install the package anew, or run npm run setup" };
  throw blazarError("StorageFailed", "read the empty image", "it is shorter than its list of data", about);
}

interface Extents {
  readonly size: number;
  readonly extents: readonly [number, number][];
  readonly reserved: number;
  readonly packed: boolean;
}

function readExtents(file: string): Extents {
  const parsed = JSON.parse(readFileSync(file, "utf8")) as { readonly [Key in keyof Extents]?: unknown };
  const { size, extents, reserved = 0, packed = false } = parsed;
  const isExtent = (each: unknown): each is [number, number] =>
    Array.isArray(each) && each.length === 2 && each.every((part) => Number.isSafeInteger(part) && part >= 0);
  if (
    typeof size !== "number" ||
    typeof reserved !== "number" ||
    !Array.isArray(extents) ||
    !extents.every(isExtent)
  ) {
    const reason = "it is not {size, extents: [[offset, length], …]}";
    const about = { subject: file, remedy: "install the package anew, or run npm run setup" };
    throw blazarError("StorageFailed", "read the empty image's list of data", reason, about);
  }
  return { size, extents, reserved, packed: packed === true };
}

/** Writes all bytes, by as many calls as it takes. */
export function writeAll(fd: number, bytes: Buffer, offset: number): void {
  for (let done = 0; done < bytes.length; )
    done += writeSync(fd, bytes, done, bytes.length - done, offset + done);
}
