/**
 * Writes the body of a netlink message: fixed parts, then attributes, which may be nested. netlink(7), rtnetlink(7).
 *
 * Numbers are in the host's byte order, which is little endian on all that Blazar runs on. Pure; for Node and QuickJS.
 */

const FIRST_BYTES = 128;
const ALIGN = 4;
const ATTRIBUTE_HEADER_BYTES = 4;
const NLA_F_NESTED = 0x8000;
const MAX_ATTRIBUTE_BYTES = 0xffff;

/** A request to the kernel: everything but its header, which the socket's owner adds (exchange.ts). */
export interface NetlinkRequest {
  /** RTM_*. */
  readonly type: number;
  /** NLM_F_* beside NLM_F_REQUEST. */
  readonly flags: number;
  readonly body: Uint8Array;
}

export class BodyWriter {
  private bytes = new Uint8Array(FIRST_BYTES);
  private view = new DataView(this.bytes.buffer);
  private length = 0;

  u8(value: number): this {
    this.view.setUint8(this.grow(1), value);
    return this;
  }

  u16(value: number): this {
    this.view.setUint16(this.grow(2), value, true);
    return this;
  }

  /** In network order. */
  u16be(value: number): this {
    this.view.setUint16(this.grow(2), value, false);
    return this;
  }

  /** Also takes negative numbers. */
  u32(value: number): this {
    this.view.setUint32(this.grow(4), value >>> 0, true);
    return this;
  }

  zeros(count: number): this {
    this.grow(count);
    return this;
  }

  raw(bytes: Uint8Array): this {
    const at = this.grow(bytes.length);
    this.bytes.set(bytes, at);
    return this;
  }

  attribute(type: number, value: Uint8Array): this {
    return this.within(type, () => this.raw(value));
  }

  attributeU32(type: number, value: number): this {
    return this.within(type, () => this.u32(value));
  }

  attributeU8(type: number, value: number): this {
    return this.within(type, () => this.u8(value));
  }

  /** A text that ends with a zero. Characters beyond Latin-1 are refused by {@link textBytes}. */
  attributeText(type: number, text: string): this {
    return this.within(type, () => this.raw(textBytes(text)).u8(0));
  }

  nested(type: number, write: (body: this) => void): this {
    return this.within(type | NLA_F_NESTED, () => write(this));
  }

  /** What was written. */
  finish(): Uint8Array {
    return this.bytes.slice(0, this.length);
  }

  private within(type: number, write: () => void): this {
    const start = this.grow(ATTRIBUTE_HEADER_BYTES);
    write();
    const length = this.length - start;
    if (length > MAX_ATTRIBUTE_BYTES) throw new RangeError(`an attribute of ${length} bytes`);
    this.view.setUint16(start, length, true);
    this.view.setUint16(start + 2, type, true);
    this.grow(-length & (ALIGN - 1));
    return this;
  }

  /** Makes room, zeroed, and returns where it begins. */
  private grow(count: number): number {
    const at = this.length;
    this.length += count;
    if (this.length > this.bytes.length) {
      const larger = new Uint8Array(Math.max(2 * this.bytes.length, this.length));
      larger.set(this.bytes);
      this.bytes = larger;
      this.view = new DataView(larger.buffer);
    }
    return at;
  }
}

/** A byte for each character. Throws RangeError for text that is no Latin-1, or that has a zero in it. */
export function textBytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code === 0 || code > 0xff) throw new RangeError(`no name of the kernel: ${JSON.stringify(text)}`);
    bytes[index] = code;
  }
  return bytes;
}
