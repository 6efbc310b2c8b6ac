/**
 * Messages of 9P2000.L as bytes: a reader of requests and a writer of replies, each over one buffer that is used again.
 *
 * Follows the protocol description of diod and the kernel's net/9p/protocol.c. Numbers are little-endian; a string has
 * two bytes of length before it. What a request lacks is {@link Malformed}: its sender is no client. Must not know what
 * any message means.
 */
import * as sys from "sys";

/** size[4] type[1] tag[2]. */
export const HEADER_BYTES = 7;
const TWO_32 = 2 ** 32;

/** A message that no client sends. It ends the connection. */
export class Malformed extends Error {
  override readonly name = "Malformed";
}

/** Reads one request, which lies in [at, end) of its buffer. */
export class Request {
  private view: DataView;
  private at = 0;
  private end = 0;

  constructor(private bytes: ArrayBuffer) {
    this.view = new DataView(bytes);
  }

  /** Everything from here on is in another buffer. */
  moveTo(bytes: ArrayBuffer): void {
    this.bytes = bytes;
    this.view = new DataView(bytes);
  }

  /** Starts with the fields of a message. */
  begin(at: number, end: number): void {
    this.at = at;
    this.end = end;
  }

  u8(): number {
    return this.view.getUint8(this.take(1));
  }

  u16(): number {
    return this.view.getUint16(this.take(2), true);
  }

  u32(): number {
    return this.view.getUint32(this.take(4), true);
  }

  /** Exact below 2^53. */
  u64(): number {
    const at = this.take(8);
    return this.view.getUint32(at + 4, true) * TWO_32 + this.view.getUint32(at, true);
  }

  /** A file's name, each byte a character; -errno if no file can have it. */
  name(): string | number {
    const length = this.u16();
    const at = this.take(length);
    if (length === 0) return -sys.ENOENT;
    const name = sys.bytesToName(this.bytes, at, length);
    return name === "." ? -sys.ENOENT : name;
  }

  /** Any other string, each byte a character. */
  text(): string {
    const length = this.u16();
    const at = this.take(length);
    return String.fromCharCode(...new Uint8Array(this.bytes, at, length));
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
  private readonly view: DataView;
  private at = HEADER_BYTES;
  private limit = HEADER_BYTES;

  constructor(readonly bytes: ArrayBuffer) {
    this.view = new DataView(bytes);
  }

  /** Where the next field goes. */
  get position(): number {
    return this.at;
  }

  /** Bytes that are left for a body of fields and data. */
  get room(): number {
    return this.limit - this.at;
  }

  /** Starts with the fields of a message of at most `limit` bytes. */
  begin(limit: number): void {
    this.at = HEADER_BYTES;
    this.limit = limit;
  }

  u8(value: number): void {
    this.view.setUint8(this.at, value);
    this.at += 1;
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

  /** Characters are bytes. */
  text(value: string): void {
    this.u16(value.length);
    for (let index = 0; index < value.length; index++) this.u8(value.charCodeAt(index));
  }

  /** Bytes that were written from {@link position} on by somebody else. */
  skip(length: number): void {
    this.at += length;
  }

  /** Puts a number into a place that was skipped. */
  setU16(at: number, value: number): void {
    this.view.setUint16(at, value, true);
  }

  setU32(at: number, value: number): void {
    this.view.setUint32(at, value, true);
  }

  getU16(at: number): number {
    return this.view.getUint16(at, true);
  }

  /** Writes the header; the length of the whole message. */
  finish(type: number, tag: number): number {
    this.view.setUint32(0, this.at, true);
    this.view.setUint8(4, type);
    this.view.setUint16(5, tag, true);
    return this.at;
  }
}
