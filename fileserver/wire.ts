/**
 * Messages of FUSE as bytes: a reader of requests and a writer of replies, each over one buffer that is used again.
 *
 * Follows the kernel's include/uapi/linux/fuse.h: numbers are little-endian, a name ends with a zero. What a request lacks
 * is {@link Malformed}: its sender is no kernel. Must not know what any message means.
 */
import * as sys from "sys";

/** struct fuse_in_header. */
export const HEADER_BYTES = 40;
/** struct fuse_out_header. */
export const REPLY_HEADER_BYTES = 16;
const TWO_32 = 2 ** 32;
/** XATTR_NAME_MAX. */
const MOST_NAME_BYTES = 255;
/** Of places in a file: so far no file reaches. */
export const BEYOND = Number.MAX_SAFE_INTEGER;

/** A message that no kernel sends. It ends the connection. */
export class Malformed extends Error {
  override readonly name = "Malformed";
}

/** Reads one request, which lies in [at, end) of its buffer. */
export class Request {
  /** Number of the operation. */
  opcode = 0;
  /** The request's own number, by which it is answered and interrupted. */
  unique = 0;
  /** The file that it is about. */
  nodeId = 0;
  /** Who asks. */
  uid = 0;
  gid = 0;
  pid = 0;
  private view: DataView;
  private all: Uint8Array;
  private at = 0;
  private end = 0;

  constructor(private buffer: ArrayBuffer) {
    this.view = new DataView(buffer);
    this.all = new Uint8Array(buffer);
  }

  /** Everything from here on is in another buffer. */
  moveTo(buffer: ArrayBuffer): void {
    this.buffer = buffer;
    this.view = new DataView(buffer);
    this.all = new Uint8Array(buffer);
  }

  /** Reads the header of a message; what follows are the operation's fields. */
  begin(at: number, end: number): void {
    this.at = at + 4;
    this.end = end;
    this.opcode = this.u32();
    this.unique = this.u64();
    this.nodeId = this.u64();
    this.uid = this.u32();
    this.gid = this.u32();
    this.pid = this.u32();
    this.skip(4);
  }

  /** The buffer, and where the next field is in it. */
  get bytes(): ArrayBuffer {
    return this.buffer;
  }

  get position(): number {
    return this.at;
  }

  /** Bytes that are left of the message. */
  get rest(): number {
    return this.end - this.at;
  }

  u32(): number {
    return this.view.getUint32(this.take(4), true);
  }

  /** Exact: a number that is too large for that is nothing that a kernel sends here. */
  u64(): number {
    const at = this.take(8);
    const high = this.view.getUint32(at + 4, true);
    if (high >= 0x20_0000) throw new Malformed("a number is too large");
    return high * TWO_32 + this.view.getUint32(at, true);
  }

  /** A place in a file, or a length: a number that is too large to be exact is beyond every file of the host. */
  offset(): number {
    const at = this.take(8);
    const high = this.view.getUint32(at + 4, true);
    return high >= 0x20_0000 ? BEYOND : high * TWO_32 + this.view.getUint32(at, true);
  }

  /** 64 bits that are only compared. */
  key(): string {
    const at = this.take(8);
    return `${this.view.getUint32(at + 4, true)}.${this.view.getUint32(at, true)}`;
  }

  /** Leaves out this many bytes; where they begin. */
  skip(length: number): number {
    return this.take(length);
  }

  /** A file's name, each byte a character; -errno if no file can have it. */
  name(): string | number {
    const [at, length] = this.string();
    const name = sys.bytesToName(this.buffer, at, length);
    if (name === -sys.EINVAL || length === 0 || name === "." || name === "..")
      throw new Malformed("a name that leads elsewhere");
    return name;
  }

  /** The name of an attribute, each byte a character. */
  text(): string {
    const [at, length] = this.string();
    if (length > MOST_NAME_BYTES) throw new Malformed("the name of an attribute is too long");
    return String.fromCharCode(...this.all.subarray(at, at + length));
  }

  /** Where a string is that ends with a zero, and its length. */
  string(): [at: number, length: number] {
    const { at } = this;
    const zero = this.all.indexOf(0, at);
    if (zero < 0 || zero >= this.end) throw new Malformed("a string has no end");
    this.at = zero + 1;
    return [at, zero - at];
  }

  private take(length: number): number {
    const { at } = this;
    this.at += length;
    if (this.at > this.end) throw new Malformed("a message is shorter than its fields");
    return at;
  }
}

/** Writes one reply from the start of its buffer on. */
export class Reply {
  private buffer: ArrayBuffer;
  private view: DataView;
  private all: Uint8Array;
  private at = REPLY_HEADER_BYTES;

  /**
   * @param bytes of the first buffer, which is enough for all but long reads
   * @param most bytes of any reply
   */
  constructor(
    bytes: number,
    private readonly most: number,
  ) {
    this.buffer = new ArrayBuffer(bytes);
    this.view = new DataView(this.buffer);
    this.all = new Uint8Array(this.buffer);
  }

  get bytes(): ArrayBuffer {
    return this.buffer;
  }

  /** As many bytes of room as this many, or as a reply may have. What was written stays. */
  need(length: number): number {
    if (length > this.room && this.buffer.byteLength < this.most) {
      const larger = new ArrayBuffer(this.most);
      new Uint8Array(larger).set(this.all.subarray(0, this.at));
      this.buffer = larger;
      this.view = new DataView(larger);
      this.all = new Uint8Array(larger);
    }
    return Math.min(length, this.room);
  }

  /** Where the next field goes. */
  get position(): number {
    return this.at;
  }

  /** Bytes that are left for fields and data. */
  get room(): number {
    return this.buffer.byteLength - this.at;
  }

  /** Starts with the fields of a message. */
  begin(): void {
    this.at = REPLY_HEADER_BYTES;
  }

  u16(value: number): void {
    this.view.setUint16(this.at, value, true);
    this.at += 2;
  }

  u32(value: number): void {
    this.view.setUint32(this.at, value, true);
    this.at += 4;
  }

  u64(value: number): void {
    this.u32(value % TWO_32);
    this.u32(Math.floor(value / TWO_32));
  }

  zeros(length: number): void {
    this.all.fill(0, this.at, this.at + length);
    this.at += length;
  }

  /** Bytes of another buffer. */
  copy(from: Uint8Array): void {
    this.all.set(from, this.at);
    this.at += from.length;
  }

  /** The same, into a place that was skipped. */
  copyAt(at: number, from: Uint8Array): void {
    this.all.set(from, at);
  }

  /** Bytes that were written from {@link position} on by somebody else. */
  skip(length: number): void {
    this.at += length;
  }

  /** Puts numbers into a place that was skipped. */
  setU32(at: number, value: number): void {
    this.view.setUint32(at, value, true);
  }

  setU64(at: number, value: number): void {
    this.view.setUint32(at, value % TWO_32, true);
    this.view.setUint32(at + 4, Math.floor(value / TWO_32), true);
  }

  /** Writes the header; the length of the whole message. An error has no fields. */
  finish(unique: number, error: number): number {
    const length = error === 0 ? this.at : REPLY_HEADER_BYTES;
    this.view.setUint32(0, length, true);
    this.view.setInt32(4, error, true);
    this.setU64(8, unique);
    return length;
  }
}
