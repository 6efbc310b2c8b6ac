/**
 * Finds the members of an uncompressed tar file without reading their contents: POSIX.1-2001 pax and ustar, with
 * GNU's long names and sizes.
 *
 * Reads a header and jumps to the next one. The file is untrusted, so the number of members and the length of extended
 * headers have a bound. Must not know what the members mean.
 */
import type { FileHandle } from "node:fs/promises";

/** Where a member's bytes are. A link has a target instead. */
export interface TarMember {
  readonly offset: number;
  readonly size: number;
  /** Target of a symlink or a hard link. */
  readonly link: string | undefined;
}

const BLOCK = 512;
const MAX_EXTENSION = 1 << 20;
const MAX_MEMBERS = 100_000;

/** Members by name, without a leading `./`. The later one of two with the same name counts. Throws an Error that says
 * what is wrong with the file. */
export async function indexTar(file: FileHandle): Promise<Map<string, TarMember>> {
  const members = new Map<string, TarMember>();
  const { size: end } = await file.stat();
  let extended = new Map<string, string>();
  for (let at = 0, count = 0; at + BLOCK <= end; count++) {
    if (count > MAX_MEMBERS) throw new Error(`it has more than ${MAX_MEMBERS} members`);
    const header = await readAt(file, at, BLOCK);
    if (header.every((byte) => byte === 0)) break;
    checkSum(header);
    const type = String.fromCharCode(header[156] ?? 0);
    const size = sizeOf(header, type, extended);
    const offset = at + BLOCK;
    if (offset + size > end) throw new Error("it is cut off");
    at = offset + Math.ceil(size / BLOCK) * BLOCK;
    if ("xLK".includes(type)) readExtension(type, await readExtensionData(file, offset, size), extended);
    else if (type !== "g") {
      const name = (extended.get("path") ?? ustarName(header)).replace(/^(\.?\/)+/, "");
      const isLink = type === "1" || type === "2";
      const link = isLink ? (extended.get("linkpath") ?? text(header, 157, 100)) : undefined;
      members.set(name, { offset, size, link });
      extended = new Map();
    }
  }
  return members;
}

/** Throws an Error if the file ends before. */
export async function readAt(file: FileHandle, offset: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  const { bytesRead } = await file.read(buffer, 0, length, offset);
  if (bytesRead < length) throw new Error("it is cut off");
  return buffer;
}

function sizeOf(header: Buffer, type: string, extended: ReadonlyMap<string, string>): number {
  // links and directories have no data, whatever their header says
  if ("123456".includes(type)) return 0;
  const given = extended.get("size");
  const size = given === undefined ? numberAt(header, 124, 12) : Number(given);
  if (!Number.isSafeInteger(size) || size < 0) throw new Error("a member's size is not a number");
  return size;
}

async function readExtensionData(file: FileHandle, offset: number, size: number): Promise<Buffer> {
  if (size > MAX_EXTENSION) throw new Error(`an extended header takes ${size} bytes`);
  return await readAt(file, offset, size);
}

function readExtension(type: string, data: Buffer, into: Map<string, string>): void {
  if (type !== "x") {
    into.set(type === "L" ? "path" : "linkpath", text(data, 0, data.length));
    return;
  }
  for (let at = 0; at < data.length; ) {
    const space = data.indexOf(0x20, at);
    const length = Number(data.toString("latin1", at, space));
    if (space < 0 || !Number.isSafeInteger(length) || length <= space - at || at + length > data.length)
      throw new Error("an extended header is malformed");
    const record = data.toString("utf8", space + 1, at + length - 1);
    const equals = record.indexOf("=");
    into.set(record.slice(0, equals), record.slice(equals + 1));
    at += length;
  }
}

function ustarName(header: Buffer): string {
  const name = text(header, 0, 100);
  // GNU tar has other things where ustar has the prefix
  const prefix = header.toString("latin1", 257, 263) === "ustar\0" ? text(header, 345, 155) : "";
  return prefix === "" ? name : `${prefix}/${name}`;
}

function text(buffer: Buffer, offset: number, length: number): string {
  const field = buffer.subarray(offset, offset + length);
  const end = field.indexOf(0);
  return field.toString("utf8", 0, end < 0 ? field.length : end);
}

/** Octal, or base 256 where the first bit is set. */
function numberAt(header: Buffer, offset: number, length: number): number {
  const field = header.subarray(offset, offset + length);
  if (((field[0] ?? 0) & 0x80) === 0) return Number.parseInt(text(field, 0, length).trim() || "0", 8);
  return field.subarray(1).reduce((value, byte) => value * 256 + byte, (field[0] ?? 0) & 0x7f);
}

/** Checks the sum of the header's bytes, where the field of the sum itself counts as blanks. */
function checkSum(header: Buffer): void {
  const given = Number.parseInt(text(header, 148, 8).trim(), 8);
  const sum = header.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 0x20 : byte), 0);
  if (sum !== given)
    throw new Error("a header's checksum is wrong: this is not a tar file, or a compressed one");
}
