/**
 * Walks the tree of an uncompressed EROFS image and says what is wrong with it: erofs_fs.h of the kernel.
 *
 * mkfs.erofs 1.8 ends with status 0 although a thread of it could not read a layer or write the image. That thread writes
 * inodes one by one and stops at the first failure, so inodes are missing then. Must not trust a number of the image: mkfs.erofs
 * has read hostile layers. Synchronous: for workers.
 */
import { readSync } from "node:fs";

const SUPERBLOCK = 1024;
const BLOCK_BITS_AT = 12;
const ROOT_AT = 14;
const METADATA_BLOCK_AT = 40;
const SUPERBLOCK_BYTES = 128;

const INODE_UNIT = 32;
const EXTENDED_BYTES = 64;
const DIRENT_BYTES = 12;
const FLAT_PLAIN = 0;
const FLAT_INLINE = 2;

/** What i_mode says of a file, by the file type of its directory entry (FT_*). */
const MODES: readonly number[] = [0, 0o10, 0o04, 0o02, 0o06, 0o01, 0o14, 0o12];
const REGULAR = 0o10;
const DIRECTORY = 0o04;
const SYMLINK = 0o12;

const PAGE_BYTES = 2 ** 16;
/** Pages that are kept: inodes of one directory lie near each other. */
const KEPT_PAGES = 64;

interface Inode {
  /** The file type's bits of i_mode. */
  readonly kind: number;
  readonly layout: number;
  readonly size: number;
  readonly firstBlock: number;
  /** Where the data that is in no block of its own begins. */
  readonly tailAt: number;
}

/** Throws an Error that says what is missing. @param size of the image in bytes */
export function checkTree(fd: number, size: number): void {
  new Tree(fd, size).check();
}

class Tree {
  private readonly pages = new Map<number, Buffer>();
  private readonly blockBits: number;
  private readonly metadataAt: number;
  private readonly root: number;

  constructor(
    private readonly fd: number,
    private readonly size: number,
  ) {
    const superblock = this.bytes(SUPERBLOCK, SUPERBLOCK_BYTES);
    this.blockBits = superblock.readUInt8(BLOCK_BITS_AT);
    this.root = superblock.readUInt16LE(ROOT_AT);
    this.metadataAt = superblock.readUInt32LE(METADATA_BLOCK_AT) * this.blockBytes;
  }

  check(): void {
    const seen = new Set<number>([this.root]);
    const left = [this.root];
    this.inode(this.root, DIRECTORY);
    for (let each = left.pop(); each !== undefined; each = left.pop()) {
      for (const { inode, kind } of this.entries(this.inode(each, DIRECTORY))) {
        if (seen.has(inode)) continue;
        this.inode(inode, kind);
        seen.add(inode);
        if (kind === DIRECTORY) left.push(inode);
      }
    }
  }

  private get blockBytes(): number {
    return 2 ** this.blockBits;
  }

  /** Throws unless it is a whole inode of this kind whose data is within the image. */
  private inode(number: number, kind: number): Inode {
    const at = this.metadataAt + number * INODE_UNIT;
    const raw = this.bytes(at, INODE_UNIT);
    const format = raw.readUInt16LE(0);
    const extended = (format & 1) === 1;
    const attributes = raw.readUInt16LE(2);
    const attributeBytes = attributes === 0 ? 0 : DIRENT_BYTES + 4 * (attributes - 1);
    const found: Inode = {
      kind: raw.readUInt16LE(4) >> 12,
      layout: (format >> 1) & 7,
      size: extended ? Number(raw.readBigUInt64LE(8)) : raw.readUInt32LE(8),
      firstBlock: raw.readUInt32LE(16),
      tailAt: at + (extended ? EXTENDED_BYTES : INODE_UNIT) + attributeBytes,
    };
    if (found.kind !== kind) throw new Error(`inode ${number} is missing`);
    if (!this.holdsData(found)) throw new Error(`the data of inode ${number} is missing`);
    return found;
  }

  private holdsData({ kind, layout, size, firstBlock, tailAt }: Inode): boolean {
    if (kind !== REGULAR && kind !== DIRECTORY && kind !== SYMLINK) return true;
    if (layout !== FLAT_PLAIN && layout !== FLAT_INLINE) return false;
    const inBlocks = layout === FLAT_INLINE ? size - (size % this.blockBytes) : size;
    const end = inBlocks === 0 ? 0 : firstBlock * this.blockBytes + inBlocks;
    return Math.max(end, tailAt + size - inBlocks) <= this.size;
  }

  private *entries(directory: Inode): Generator<{ readonly inode: number; readonly kind: number }> {
    const { size, layout, firstBlock, tailAt } = directory;
    for (let offset = 0; offset < size; offset += this.blockBytes) {
      const length = Math.min(this.blockBytes, size - offset);
      const isTail = layout === FLAT_INLINE && length < this.blockBytes;
      const block = this.bytes(isTail ? tailAt : firstBlock * this.blockBytes + offset, length);
      const count = block.length < DIRENT_BYTES ? 0 : block.readUInt16LE(8) / DIRENT_BYTES;
      if (!Number.isInteger(count) || count < 1 || count * DIRENT_BYTES > length)
        throw new Error("a directory's names are missing");
      for (let at = 0; at < count * DIRENT_BYTES; at += DIRENT_BYTES)
        yield { inode: Number(block.readBigUInt64LE(at)), kind: MODES[block.readUInt8(at + 10)] ?? 0 };
    }
  }

  private bytes(offset: number, length: number): Buffer {
    if (offset + length > this.size) throw new Error(`it ends before byte ${offset + length}`);
    const first = Math.floor(offset / PAGE_BYTES);
    const last = Math.floor((offset + length - 1) / PAGE_BYTES);
    const pages = Array.from({ length: last - first + 1 }, (_, index) => this.page(first + index));
    const whole = pages.length === 1 ? (pages[0] ?? Buffer.alloc(0)) : Buffer.concat(pages);
    const start = offset - first * PAGE_BYTES;
    const found = whole.subarray(start, start + length);
    if (found.length < length) throw new Error(`it ends before byte ${offset + length}`);
    return found;
  }

  private page(number: number): Buffer {
    const known = this.pages.get(number);
    if (known !== undefined) return known;
    const read = Buffer.alloc(PAGE_BYTES);
    const page = read.subarray(0, readSync(this.fd, read, 0, PAGE_BYTES, number * PAGE_BYTES));
    for (const oldest of this.pages.keys()) {
      if (this.pages.size < KEPT_PAGES) break;
      this.pages.delete(oldest);
    }
    this.pages.set(number, page);
    return page;
  }
}
