/**
 * Reads netlink messages and their attributes: netlink(7).
 *
 * Lengths are checked before they are used: bytes that are no messages throw FrameMalformed, whatever they are. Values are
 * views into the given bytes. Pure; for Node and QuickJS.
 */
import { blazarError } from "../../contracts/errors.ts";

const ALIGN = 4;
export const MESSAGE_HEADER_BYTES = 16;
const ATTRIBUTE_HEADER_BYTES = 4;
/** Without the bits that say "nested" and "in network order". */
const TYPE_MASK = 0x3fff;

export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  /** What follows the header. */
  readonly body: Uint8Array;
}

export function malformed(what: string): never {
  throw blazarError("FrameMalformed", "read the kernel's network", what);
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

function aligned(length: number): number {
  return (length + ALIGN - 1) & -ALIGN;
}

/** The messages of one datagram. Throws FrameMalformed. */
export function messagesOf(datagram: Uint8Array): NetlinkMessage[] {
  const view = viewOf(datagram);
  const messages: NetlinkMessage[] = [];
  for (let at = 0; at < datagram.length; ) {
    if (datagram.length - at < MESSAGE_HEADER_BYTES) malformed("a message without a whole header");
    const length = view.getUint32(at, true);
    if (length < MESSAGE_HEADER_BYTES || length > datagram.length - at)
      malformed(`a message of ${length} bytes where there are ${datagram.length - at}`);
    messages.push({
      type: view.getUint16(at + 4, true),
      flags: view.getUint16(at + 6, true),
      sequence: view.getUint32(at + 8, true),
      body: datagram.subarray(at + MESSAGE_HEADER_BYTES, at + length),
    });
    at += aligned(length);
  }
  return messages;
}

/** The fixed part of a message's body. Throws FrameMalformed if it is shorter. */
export function fixedPart(body: Uint8Array, bytes: number): DataView {
  if (body.length < bytes) malformed(`a message of ${body.length} bytes, shorter than ${bytes}`);
  return viewOf(body);
}

/** Attributes by type. Of several with one type the last one counts, as in the kernel's nla_parse(). */
export class Attributes {
  private readonly values = new Map<number, Uint8Array>();

  /** @param start where the attributes begin in `bytes` */
  constructor(bytes: Uint8Array, start = 0) {
    const view = viewOf(bytes);
    for (let at = start; at < bytes.length; ) {
      if (bytes.length - at < ATTRIBUTE_HEADER_BYTES) malformed("an attribute without a whole header");
      const length = view.getUint16(at, true);
      if (length < ATTRIBUTE_HEADER_BYTES || length > bytes.length - at)
        malformed(`an attribute of ${length} bytes where there are ${bytes.length - at}`);
      const type = view.getUint16(at + 2, true) & TYPE_MASK;
      this.values.set(type, bytes.subarray(at + ATTRIBUTE_HEADER_BYTES, at + length));
      at += aligned(length);
    }
  }

  has(type: number): boolean {
    return this.values.has(type);
  }

  bytes(type: number): Uint8Array | undefined {
    return this.values.get(type);
  }

  u32(type: number): number | undefined {
    const value = this.sized(type, 4);
    return value === undefined ? undefined : viewOf(value).getUint32(0, true);
  }

  u16(type: number): number | undefined {
    const value = this.sized(type, 2);
    return value === undefined ? undefined : viewOf(value).getUint16(0, true);
  }

  u8(type: number): number | undefined {
    return this.sized(type, 1)?.[0];
  }

  /** A text, which may end with a zero; a character for each byte. */
  text(type: number): string | undefined {
    const value = this.values.get(type);
    return value === undefined ? undefined : textOf(value);
  }

  nested(type: number): Attributes | undefined {
    const value = this.values.get(type);
    return value === undefined ? undefined : new Attributes(value);
  }

  private sized(type: number, least: number): Uint8Array | undefined {
    const value = this.values.get(type);
    if (value !== undefined && value.length < least)
      malformed(`attribute ${type} has ${value.length} bytes instead of ${least}`);
    return value;
  }
}

function textOf(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  let text = "";
  for (const byte of end === -1 ? bytes : bytes.subarray(0, end)) text += String.fromCharCode(byte);
  return text;
}
