/**
 * Which file is which for the guest: an inode number, unique among all files that are ever in the share.
 *
 * All of the share is one file system for the guest, and programs take two files of one number for the same. On the host
 * an inode number is unique in one file system only, and a device number or a mount id is given again once its mount is
 * gone. So each mount gets a serial number here, and each (mount, device, upper 16 bits of the inode number) a prefix,
 * which is the upper 16 bits of the number that the guest sees.
 */
import * as sys from "sys";

/** Bytes of what `sys.statEntry` gives, and of the fuse_attr in it. */
export const STAT_BYTES = 128;
export const ATTRIBUTES_AT = 24;
export const ATTRIBUTE_BYTES = 88;
const BIRTH_AT = ATTRIBUTES_AT + ATTRIBUTE_BYTES;
const MODE_AT = ATTRIBUTES_AT + 60;
const LINKS_AT = MODE_AT + 4;
const OWNER_AT = LINKS_AT + 4;
const GROUP_AT = OWNER_AT + 4;
/** Where user and group are in a struct fuse_attr. */
export const OWNER_IN_ATTRIBUTES = OWNER_AT - ATTRIBUTES_AT;
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
    /** Of a volume that is read-only on the host, which holds for whatever the host mounts in it later. */
    readonly readonly: boolean,
  ) {}

  /** The upper half of a file's number; -ENFILE if there are too many file systems. */
  high(facts: Facts): number {
    const prefix = this.prefixOf(facts);
    return prefix < 0 ? prefix : ((prefix << 16) | (facts.inodeHigh & 0xffff)) >>> 0;
  }

  /** The upper 16 bits of a file's number; -ENFILE. */
  prefixOf({ deviceLow, deviceHigh, inodeHigh }: Facts): number {
    const upper = inodeHigh >>> 16;
    if (deviceLow !== this.deviceLow || deviceHigh !== this.deviceHigh || upper !== this.upper) {
      const found = this.find(`${this.serial}/${deviceHigh}/${deviceLow}/${upper}`);
      if (found < 0) return found;
      this.deviceLow = deviceLow;
      this.deviceHigh = deviceHigh;
      this.upper = upper;
      this.prefix = found;
    }
    return this.prefix;
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

  /** The mount that `key` describes, if it was seen before. */
  get(key: string): Mount | undefined {
    return this.known.get(key);
  }

  /** A mount that is seen for the first time, by this key. -ENFILE if there are too many. */
  enter(id: number, key: string, readonly: boolean): Mount | number {
    if (this.known.size === MOST_PREFIXES) return -sys.ENFILE;
    const mount = new Mount(id, this.known.size, this.prefixes, readonly);
    this.known.set(key, mount);
    return mount;
  }
}

/** What statx(2) told of one file or of many; see `sys.statEntry` for the layout. */
export class StatBuffer implements Facts {
  readonly bytes: ArrayBuffer;
  private readonly view: DataView;
  private readonly all: Uint8Array;
  private at = 0;

  constructor(files = 1) {
    this.bytes = new ArrayBuffer(files * STAT_BYTES);
    this.view = new DataView(this.bytes);
    this.all = new Uint8Array(this.bytes);
  }

  /** Moves to one of the files. */
  of(file: number): this {
    this.at = file * STAT_BYTES;
    return this;
  }

  /** Reads a file's; 0 or -errno. */
  read(fd: number): number {
    return sys.statEntry(fd, this.bytes, this.at, STAT_BYTES);
  }

  /** Reads that of a name below a directory; 0 or -errno. */
  readName(directory: number, name: string): number {
    return sys.statName(directory, name, this.bytes, this.at, STAT_BYTES);
  }

  get deviceLow(): number {
    return this.u32(0);
  }

  get deviceHigh(): number {
    return this.u32(4);
  }

  get inodeLow(): number {
    return this.u32(8);
  }

  get inodeHigh(): number {
    return this.u32(12);
  }

  get mountId(): number {
    return this.u32(20) * TWO_32 + this.u32(16);
  }

  /** Type and permissions. */
  get mode(): number {
    return this.u32(MODE_AT);
  }

  /** Type of the file: S_IF*. */
  get kind(): number {
    return this.mode & sys.S_IFMT;
  }

  get owner(): number {
    return this.u32(OWNER_AT);
  }

  get group(): number {
    return this.u32(GROUP_AT);
  }

  /** Time of birth: another file that gets the same inode number later has another one. */
  get bornLow(): number {
    return this.u32(BIRTH_AT);
  }

  get bornNanoseconds(): number {
    return this.u32(BIRTH_AT + 8);
  }

  /** The file's struct fuse_attr, with the host's inode number. */
  get attributes(): Uint8Array {
    const at = this.at + ATTRIBUTES_AT;
    return this.all.subarray(at, at + ATTRIBUTE_BYTES);
  }

  /** Device, inode and time of birth, as text. */
  get birth(): string {
    return [0, 4, 8, 12, BIRTH_AT, BIRTH_AT + 8].map((at) => this.u32(at)).join(".");
  }

  /** Nothing is known of it. */
  get isEmpty(): boolean {
    return this.inodeLow === 0 && this.inodeHigh === 0 && this.mode === 0;
  }

  private u32(at: number): number {
    return this.view.getUint32(this.at + at, true);
  }
}
