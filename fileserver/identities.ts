/**
 * Which file is which for the guest: a qid's path, unique among all files that are ever in the share.
 *
 * A guest with cache=loose takes two files of one qid for the same. An inode number is unique in one file system only, and
 * a device number or a mount id is given again once its mount is gone. So each mount gets a serial number here, and each
 * (mount, device, upper 16 bits of the inode number) a prefix, which is the upper 16 bits of the path. QEMU's
 * `multidevs=remap` does the same by device.
 */
import * as sys from "sys";

/** Type bits of a qid. */
const QT_DIRECTORY = 0x80;
const QT_SYMLINK = 0x02;
const STAT_BYTES = 140;
const MOST_PREFIXES = 0x1_0000;
const TWO_32 = 2 ** 32;

/** Device, inode and mount of a file, as halves of 64 bits where a number has more than 53. */
export interface Facts {
  readonly deviceLow: number;
  readonly deviceHigh: number;
  readonly inodeLow: number;
  readonly inodeHigh: number;
  readonly mountId: number;
}

/** One mount below the share, or the share itself. */
export class Mount {
  /** Of the last lookup: files of a mount nearly always have the same prefix. */
  private deviceLow = -1;
  private deviceHigh = -1;
  private upper = -1;
  private prefix = -1;

  constructor(
    /** The kernel's number, which it may give to another mount later. */
    readonly id: number,
    private readonly serial: number,
    private readonly prefixes: Map<string, number>,
  ) {}

  /** The upper half of a file's qid path; -ENFILE if there are too many file systems. */
  pathHigh({ deviceLow, deviceHigh, inodeHigh }: Facts): number {
    const upper = inodeHigh >>> 16;
    if (deviceLow !== this.deviceLow || deviceHigh !== this.deviceHigh || upper !== this.upper) {
      const found = this.find(`${this.serial}/${deviceHigh}/${deviceLow}/${upper}`);
      if (found < 0) return found;
      this.deviceLow = deviceLow;
      this.deviceHigh = deviceHigh;
      this.upper = upper;
      this.prefix = found;
    }
    return ((this.prefix << 16) | (inodeHigh & 0xffff)) >>> 0;
  }

  private find(key: string): number {
    const known = this.prefixes.get(key);
    if (known !== undefined) return known;
    if (this.prefixes.size === MOST_PREFIXES) return -sys.ENFILE;
    this.prefixes.set(key, this.prefixes.size);
    return this.prefixes.size - 1;
  }
}

/** All mounts that were ever seen. */
export class Mounts {
  private readonly known = new Map<string, Mount>();
  private readonly prefixes = new Map<string, number>();

  /** The mount that `key` describes; the same for the same key. -ENFILE if there are too many. */
  enter(id: number, key: string): Mount | number {
    const known = this.known.get(key);
    if (known !== undefined) return known;
    if (this.known.size === MOST_PREFIXES) return -sys.ENFILE;
    const mount = new Mount(id, this.known.size, this.prefixes);
    this.known.set(key, mount);
    return mount;
  }
}

/** What statx(2) told of a file; see `sys.statEntry` for the layout. */
export class StatBuffer implements Facts {
  readonly bytes = new ArrayBuffer(STAT_BYTES);
  private readonly view = new DataView(this.bytes);

  /** Reads a file's; 0 or -errno. */
  read(fd: number): number {
    return sys.statEntry(fd, this.bytes, 0, STAT_BYTES);
  }

  get deviceLow(): number {
    return this.view.getUint32(0, true);
  }

  get deviceHigh(): number {
    return this.view.getUint32(4, true);
  }

  get inodeLow(): number {
    return this.view.getUint32(8, true);
  }

  get inodeHigh(): number {
    return this.view.getUint32(12, true);
  }

  get mountId(): number {
    return this.view.getUint32(20, true) * TWO_32 + this.view.getUint32(16, true);
  }

  /** Type of the file: S_IF*. */
  get kind(): number {
    return this.view.getUint32(24, true) & sys.S_IFMT;
  }

  /** Changes with the file, like QEMU's. */
  get version(): number {
    const size = this.view.getUint32(52, true);
    return (this.view.getUint32(92, true) ^ this.view.getUint32(100, true) ^ (size << 8)) >>> 0;
  }

  /** Device, inode and time of birth, as text: no later file has the same. */
  get birth(): string {
    const numbers = [0, 4, 8, 12, 124, 132].map((at) => this.view.getUint32(at, true));
    return numbers.join(".");
  }
}

/** Type of the qid of a file with this S_IF*. */
export function qidType(kind: number): number {
  if (kind === sys.S_IFDIR) return QT_DIRECTORY;
  return kind === sys.S_IFLNK ? QT_SYMLINK : 0;
}
