/**
 * Reads tar headers: POSIX.1-2001 pax and ustar, with the GNU extensions that image builders still write.
 *
 * Pure: bytes in, entries out. It knows nothing of files, so it can be tested anywhere. It must not trust a number or a
 * name of the archive that it has not checked.
 */
import type { TextCodec } from "../../../src/protocol/wire/json.ts";

export const TAR_BLOCK = 512;
/** Largest pax header or long name that is accepted. */
export const MAX_EXTENSION_BYTES = 1 << 20;

export type TarType =
  | "file"
  | "hardlink"
  | "symlink"
  | "character"
  | "block"
  | "directory"
  | "fifo"
  | "other";

/** One member, with the changes of the pax headers before it. */
export interface TarEntry {
  readonly type: TarType;
  readonly name: string;
  readonly linkName: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  /** Milliseconds since the epoch. */
  readonly modifiedMs: number;
  readonly major: number;
  readonly minor: number;
  /** Extended attributes: name → value, from SCHILY.xattr records. */
  readonly attributes: ReadonlyMap<string, Uint8Array>;
}

/** The kinds of header blocks. The data of an `extension` has to be given to {@link TarHeaders.extend}. */
export type TarHeader =
  | { readonly kind: "end" }
  | { readonly kind: "extension"; readonly size: number; readonly typeFlag: string }
  | { readonly kind: "entry"; readonly entry: TarEntry };

const TYPES: Readonly<Record<string, TarType>> = {
  "0": "file",
  "\0": "file",
  "7": "file",
  "1": "hardlink",
  "2": "symlink",
  "3": "character",
  "4": "block",
  "5": "directory",
  "6": "fifo",
};

const USTAR = [0x75, 0x73, 0x74, 0x61, 0x72];
const XATTR = "SCHILY.xattr.";

/** Bytes of an entry's data as they lie in the archive: padded to blocks. */
export function paddedSize(size: number): number {
  return Math.ceil(size / TAR_BLOCK) * TAR_BLOCK;
}

/** Interprets the header blocks of one archive, in order. */
export class TarHeaders {
  private readonly globals = new Map<string, Uint8Array>();
  private locals = new Map<string, Uint8Array>();

  constructor(private readonly text: TextCodec) {}

  /** Reads one header block. Throws an Error that says what is wrong with it. */
  read(block: Uint8Array): TarHeader {
    if (block.every((byte) => byte === 0)) return { kind: "end" };
    // a sum over 512 bytes is expensive in an interpreter, so it is made only where the magic does not tell that this is tar
    if (!isUstar(block) && !checksumHolds(block))
      throw new Error("a header of the archive has a wrong checksum");
    const typeFlag = String.fromCharCode(block[156] ?? 0);
    const size = this.number(block, 124, 12);
    if ("xgLK".includes(typeFlag)) {
      if (size > MAX_EXTENSION_BYTES)
        throw new Error(`an extended header has ${size} bytes, which is too many`);
      return { kind: "extension", size, typeFlag };
    }
    const entry = this.entry(block, typeFlag, size);
    this.locals = new Map();
    return { kind: "entry", entry };
  }

  /** Takes the data of an extension block, without padding. */
  extend(typeFlag: string, data: Uint8Array): void {
    if (typeFlag === "L" || typeFlag === "K") {
      this.locals.set(typeFlag === "L" ? "path" : "linkpath", data.subarray(0, lengthOfString(data)));
      return;
    }
    for (const [key, value] of paxRecords(data, this.text)) {
      (typeFlag === "g" ? this.globals : this.locals).set(key, value);
    }
  }

  private entry(block: Uint8Array, typeFlag: string, headerSize: number): TarEntry {
    const pax = (key: string): string | undefined => {
      const value = this.locals.get(key) ?? this.globals.get(key);
      return value === undefined ? undefined : this.text.decode(value);
    };
    const number = (key: string, fallback: number): number => {
      const value = Number(pax(key) ?? fallback);
      if (!Number.isFinite(value) || value < 0)
        throw new Error(`the field ${key} of an entry is not a number`);
      return value;
    };
    const type = TYPES[typeFlag] ?? "other";
    const size = Math.floor(number("size", headerSize));
    return {
      type,
      name: pax("path") ?? this.ustarName(block),
      linkName: pax("linkpath") ?? this.string(block, 157, 100),
      mode: this.number(block, 100, 8) & 0o7777,
      uid: number("uid", this.number(block, 108, 8)),
      gid: number("gid", this.number(block, 116, 8)),
      size: type === "file" || type === "other" ? size : 0,
      modifiedMs: number("mtime", this.number(block, 136, 12)) * 1000,
      major: this.number(block, 329, 8),
      minor: this.number(block, 337, 8),
      attributes: this.attributes(),
    };
  }

  private attributes(): Map<string, Uint8Array> {
    const found = new Map<string, Uint8Array>();
    for (const [key, value] of this.locals) {
      if (key.startsWith(XATTR)) found.set(key.slice(XATTR.length), value);
    }
    return found;
  }

  private ustarName(block: Uint8Array): string {
    const name = this.string(block, 0, 100);
    // GNU tar has a blank after "ustar", and other fields in the place of the prefix
    const prefix = isUstar(block) && block[262] === 0 ? this.string(block, 345, 155) : "";
    return prefix === "" ? name : `${prefix}/${name}`;
  }

  private string(block: Uint8Array, offset: number, length: number): string {
    const field = block.subarray(offset, offset + length);
    return this.text.decode(field.subarray(0, lengthOfString(field)));
  }

  /** Octal digits, or base 256 where the first bit is set (GNU: values that octal cannot hold). */
  private number(block: Uint8Array, offset: number, length: number): number {
    const field = block.subarray(offset, offset + length);
    const first = field[0] ?? 0;
    if ((first & 0x80) !== 0) {
      // a negative number is a time before 1970, which nobody needs
      if ((first & 0x40) !== 0) return 0;
      let value = first & 0x3f;
      for (const byte of field.subarray(1)) value = value * 256 + byte;
      if (!Number.isSafeInteger(value)) throw new Error("a number of the archive is out of range");
      return value;
    }
    const digits = this.text.decode(field).replaceAll("\0", " ").trim();
    if (digits === "") return 0;
    if (!/^[0-7]+$/.test(digits))
      throw new Error(`"${digits}" in a header of the archive is not an octal number`);
    return Number.parseInt(digits, 8);
  }
}

function isUstar(block: Uint8Array): boolean {
  return USTAR.every((byte, index) => block[257 + index] === byte);
}

function lengthOfString(field: Uint8Array): number {
  const end = field.indexOf(0);
  return end < 0 ? field.length : end;
}

/** The sum of all bytes, the checksum's own field counted as blanks. */
function checksumHolds(block: Uint8Array): boolean {
  let sum = 0;
  for (let at = 0; at < TAR_BLOCK; at++) sum += at >= 148 && at < 156 ? 0x20 : (block[at] ?? 0);
  let digits = "";
  for (const byte of block.subarray(148, 156)) {
    if (byte >= 0x30 && byte <= 0x37) digits += String.fromCharCode(byte);
    else if (digits !== "") break;
  }
  return Number.parseInt(digits, 8) === sum;
}

/** Records `"<length> <key>=<value>\n"`; the length counts the whole record. Values are bytes: xattrs are binary. */
function* paxRecords(data: Uint8Array, text: TextCodec): Generator<[string, Uint8Array]> {
  let at = 0;
  while (at < data.length && data[at] !== 0) {
    const space = data.indexOf(0x20, at);
    const length = space < 0 ? Number.NaN : Number(text.decode(data.subarray(at, space)));
    const end = at + length;
    if (!Number.isSafeInteger(length) || end > data.length || end <= space + 1) {
      throw new Error("an extended header of the archive is malformed");
    }
    const equals = data.indexOf(0x3d, space);
    if (equals < 0 || equals >= end)
      throw new Error("an extended header of the archive has a record without =");
    yield [text.decode(data.subarray(space + 1, equals)), data.slice(equals + 1, end - 1)];
    at = end;
  }
}
