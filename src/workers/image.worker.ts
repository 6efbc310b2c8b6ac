/**
 * Worker entry: what making an image of layers takes beside mkfs.erofs: the view of the layers, checks, hashes, holes.
 *
 * Its functions are the tasks of a piscina pool of its own, since reading a whole image takes seconds. Its thread leaves
 * the processor to all others (nice 19). Must not write into a layer.
 */
import { createHash } from "node:crypto";
import {
  closeSync,
  fchmodSync,
  fchownSync,
  constants as fsConstants,
  fstatSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readSync,
} from "node:fs";
import { constants, setPriority } from "node:os";
import { blazarError, reasonOf } from "../contracts/errors.ts";
import type { Owner } from "./images/disk-image.ts";
import { erofsSize, SUPERBLOCK_BYTES } from "./images/erofs-superblock.ts";
import { checkTree } from "./images/erofs-tree.ts";
import { areSmall, dropFiles, fileBytes, mountView } from "./images/layer-view.ts";
import { ENOSPC, nextData, punchHole, reserve, systemError } from "./libc/libc.ts";
import { unmountAllBelow } from "./mounts/mounts.ts";
import { type Outcome, settle } from "./outcome.ts";

/** The tasks by name, as the pool calls them. */
export interface ImageTasks {
  /** Whether the layers are few entries and bytes, by a walk that stops early. */
  estimate(input: {
    readonly lower: readonly string[];
    readonly entries: number;
    readonly bytes: number;
  }): Outcome<{ readonly small: boolean }>;
  /**
   * Mounts the view of the layers below a directory, makes the empty file that becomes their image, and a log that a full
   * disk has room for.
   */
  openView(input: {
    readonly lower: readonly string[];
    readonly directory: string;
    readonly image: string;
    readonly log: string;
    readonly owner: Owner | undefined;
    /** Layers whose files have more bytes are refused before anything is written. */
    readonly most: number;
  }): Outcome<{ readonly view: string }>;
  /** Has the kernel forget the layers' files: whoever has their image reads that. */
  dropLayers(lower: readonly string[]): Outcome<undefined>;
  /** Unmounts everything below a directory. */
  closeView(directory: string): Outcome<undefined>;
  /** Checks a new image, gives zeros back to the disk, extends it to its apparent size and takes it from its maker. */
  seal(input: { readonly image: string; readonly apparentSize: number }): Outcome<ImageContent>;
  /** Reads an image's first `size` bytes; false for `bare` if there is anything after them. */
  read(input: {
    readonly image: string;
    readonly size: number;
  }): Outcome<{ readonly sha256: string; readonly bare: boolean }>;
}

/** What is in an image. */
export interface ImageContent {
  /** Bytes of the file system; the file is longer. */
  readonly size: number;
  readonly sha256: string;
}

const PIECE = 2 ** 20;
/** Zeros are given back in units of this size: the file has few extents. */
const HOLE = 2 ** 16;
const ZEROS = Buffer.alloc(HOLE);
const MAKE = "make an image of layers";
/** mkfs.erofs may say so much on a full disk. */
const LOG_BYTES = 2 ** 16;

/** libuv sets the priority of the calling thread alone: setpriority(2), "C library/kernel differences". */
setPriority(0, constants.priority.PRIORITY_LOW);

export const estimate: ImageTasks["estimate"] = ({ lower, entries, bytes }) =>
  settle("StorageFailed", "look at the layers", lower[0] ?? "", () => ({
    small: areSmall(lower, entries, bytes),
  }));

export const openView: ImageTasks["openView"] = ({ lower, directory, image, log, owner, most }) =>
  settle("StorageFailed", MAKE, directory, () => {
    withNew(image, (fd) => {
      if (owner !== undefined) fchownSync(fd, owner.uid, owner.gid);
    });
    withNew(log, (fd) => {
      const errno = reserve(fd, LOG_BYTES);
      if (errno === ENOSPC) throw systemError("ResourceExhausted", errno, { operation: MAKE, subject: log });
    });
    const view = mountView(lower, directory);
    // A sparse file of a layer is written as zeros before it is sparse again.
    if (fileBytes(view, most) > most) throw tooLarge(directory, most);
    return { view };
  });

export const dropLayers: ImageTasks["dropLayers"] = (lower) =>
  settle("StorageFailed", "forget the layers", lower[0] ?? "", () => {
    dropFiles(lower);
    return undefined;
  });

export const closeView: ImageTasks["closeView"] = (directory) =>
  settle("MountFailed", "unmount the layers", directory, () => {
    unmountAllBelow(directory);
    return undefined;
  });

export const seal: ImageTasks["seal"] = ({ image, apparentSize }) =>
  settle("StorageFailed", MAKE, image, () => {
    const fd = openSync(image, "r+");
    try {
      const size = checkedSize(fd, image, apparentSize);
      checkedTree(fd, image, size);
      const sha256 = digest(fd, size, (offset, piece) => punchZeros(fd, offset, piece));
      ftruncateSync(fd, apparentSize);
      if (process.getuid?.() === 0) fchownSync(fd, 0, 0);
      fchmodSync(fd, 0o400);
      fsyncSync(fd);
      return { size, sha256 };
    } finally {
      closeSync(fd);
    }
  });

export const read: ImageTasks["read"] = ({ image, size }) =>
  settle("ImageBroken", "read an image", image, () => {
    const fd = openSync(image, "r");
    try {
      return { sha256: digest(fd, size), bare: nextData(fd, size) === undefined };
    } finally {
      closeSync(fd);
    }
  });

function checkedSize(fd: number, image: string, most: number): number {
  const head = Buffer.alloc(SUPERBLOCK_BYTES);
  const said = erofsSize(head.subarray(0, readSync(fd, head, 0, head.length, 0)));
  const { size } = fstatSync(fd);
  if (typeof said === "string") throw broken(image, said);
  if (said > size) throw broken(image, `it has ${size} bytes and its superblock says ${said}`);
  if (size <= most) return size;
  const reason = `it has ${size} bytes, and a disk has ${most}`;
  throw blazarError("ResourceExhausted", MAKE, reason, { subject: image });
}

function checkedTree(fd: number, image: string, size: number): void {
  try {
    checkTree(fd, size);
  } catch (error) {
    throw broken(image, reasonOf(error));
  }
}

function withNew(file: string, work: (fd: number) => void): void {
  const { O_CREAT, O_EXCL, O_WRONLY } = fsConstants;
  const fd = openSync(file, O_CREAT | O_EXCL | O_WRONLY, 0o600);
  try {
    work(fd);
  } finally {
    closeSync(fd);
  }
}

function tooLarge(subject: string, most: number) {
  const about = { subject, remedy: "raise image.disk_limit" };
  return blazarError("ResourceExhausted", MAKE, `it would have more than ${most} bytes`, about);
}

/** Reads so many bytes from the beginning, a piece at a time. */
function digest(
  fd: number,
  size: number,
  each: (offset: number, piece: Buffer) => void = () => undefined,
): string {
  const hash = createHash("sha256");
  const buffer = Buffer.alloc(PIECE);
  for (let offset = 0; offset < size; ) {
    const length = readSync(fd, buffer, 0, Math.min(PIECE, size - offset), offset);
    if (length === 0) throw new Error(`it ends at byte ${offset} of ${size}`);
    const piece = buffer.subarray(0, length);
    hash.update(piece);
    each(offset, piece);
    offset += length;
  }
  return hash.digest("hex");
}

/** A file system that cannot have holes keeps the zeros: that costs space, nothing else. */
function punchZeros(fd: number, offset: number, piece: Buffer): void {
  for (let at = 0; at + HOLE <= piece.length; at += HOLE)
    if (piece.compare(ZEROS, 0, HOLE, at, at + HOLE) === 0) punchHole(fd, offset + at, HOLE);
}

function broken(image: string, reason: string) {
  return blazarError("StorageFailed", "check a new image", reason, { subject: image });
}
