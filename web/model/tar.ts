/**
 * Reads a tar archive (POSIX.1-1988 ustar, and the long names of pax and GNU). Pure.
 *
 * Sizes come from a stranger: whatever does not fit ends the reading. Nothing is written anywhere, so names are only names.
 */

export interface TarFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

const BLOCK = 512;
const MOST_FILES = 5_000;
const decoder = new TextDecoder();

/** Whether bytes begin like a tar archive. */
export function isTar(bytes: Uint8Array): boolean {
  return bytes.length >= BLOCK && textAt(bytes, 257, 5) === "ustar";
}

/** The plain files of an archive. */
export function readTar(bytes: Uint8Array): TarFile[] {
  const files: TarFile[] = [];
  let longName: string | undefined;
  for (let offset = 0; offset + BLOCK <= bytes.length && files.length < MOST_FILES; ) {
    const header = bytes.subarray(offset, offset + BLOCK);
    if (header.every((byte) => byte === 0)) break;
    const size = sizeOf(header);
    const body = bytes.subarray(offset + BLOCK, offset + BLOCK + size);
    if (body.length < size) throw new Error("the archive is cut off");
    const type = String.fromCharCode(header[156] ?? 0);
    if (type === "L") longName = until0(decoder.decode(body));
    else if (type === "x") longName = paxPath(decoder.decode(body)) ?? longName;
    else {
      if (type === "0" || type === "\0") files.push({ name: longName ?? nameOf(header), bytes: body });
      longName = undefined;
    }
    offset += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
  }
  return files;
}

function sizeOf(header: Uint8Array): number {
  const size = Number.parseInt(textAt(header, 124, 12).trim(), 8);
  if (!Number.isSafeInteger(size) || size < 0) throw new Error("the archive has a file without a size");
  return size;
}

function nameOf(header: Uint8Array): string {
  const prefix = textAt(header, 345, 155);
  const name = textAt(header, 0, 100);
  return prefix === "" ? name : `${prefix}/${name}`;
}

/** A record is `LENGTH path=NAME\n`. */
function paxPath(records: string): string | undefined {
  return /(?:^|\n)\d+ path=([^\n]*)\n/.exec(records)?.[1];
}

function textAt(bytes: Uint8Array, from: number, length: number): string {
  return until0(decoder.decode(bytes.subarray(from, from + length)));
}

function until0(text: string): string {
  return text.split("\0", 1)[0] ?? "";
}
