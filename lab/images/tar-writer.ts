/**
 * Writes tar archives: ustar (POSIX.1-1988), with a pax header (POSIX.1-2001) for names that do not fit.
 *
 * The same entries give the same bytes. Must not read the host's files: callers bring the contents.
 */

/** A member; the path has no leading slash. Mode defaults to 0644, or 0755 for directories; owner to root. */
export interface TarFile {
  readonly path: string;
  readonly type?: "file" | "directory" | "symlink" | "hardlink" | "character";
  readonly content?: Uint8Array | string;
  /** Target of a symlink or hard link. */
  readonly target?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Of a character device. */
  readonly major?: number;
  readonly minor?: number;
}

const BLOCK = 512;
const TYPE_FLAGS = { file: "0", hardlink: "1", symlink: "2", character: "3", directory: "5" } as const;

/** The archive's bytes. */
export function writeTar(files: readonly TarFile[]): Buffer {
  const chunks = files.flatMap((file) => member(file));
  return Buffer.concat([...chunks, Buffer.alloc(2 * BLOCK)]);
}

function member(file: TarFile): Buffer[] {
  const type = file.type ?? "file";
  const content = Buffer.from(file.content ?? "");
  const pax = [
    ...(Buffer.byteLength(file.path) > 100 ? [paxRecord("path", file.path)] : []),
    ...(Buffer.byteLength(file.target ?? "") > 100 ? [paxRecord("linkpath", file.target ?? "")] : []),
  ];
  const extension = Buffer.from(pax.join(""));
  const before =
    extension.length === 0
      ? []
      : [header({ path: "PaxHeader", mode: 0o644 }, "x", extension.length), padded(extension)];
  return [...before, header(file, TYPE_FLAGS[type], content.length), padded(content)];
}

/** The length in front counts itself. */
function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = Buffer.byteLength(rest);
  while (Buffer.byteLength(`${length}${rest}`) !== length) length = Buffer.byteLength(`${length}${rest}`);
  return `${length}${rest}`;
}

function header(file: TarFile, typeFlag: string, size: number): Buffer {
  const block = Buffer.alloc(BLOCK);
  const defaultMode = typeFlag === "5" ? 0o755 : 0o644;
  block.write(file.path.slice(0, 100), 0, 100);
  block.write(octal(file.mode ?? defaultMode, 8), 100);
  block.write(octal(file.uid ?? 0, 8), 108);
  block.write(octal(file.gid ?? 0, 8), 116);
  block.write(octal(size, 12), 124);
  block.write(octal(0, 12), 136);
  block.write(" ".repeat(8), 148);
  block.write(typeFlag, 156);
  block.write((file.target ?? "").slice(0, 100), 157, 100);
  block.write("ustar\u000000", 257);
  block.write(octal(file.major ?? 0, 8), 329);
  block.write(octal(file.minor ?? 0, 8), 337);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148);
  return block;
}

function octal(value: number, length: number): string {
  return `${value.toString(8).padStart(length - 1, "0")}\0`;
}

function padded(content: Buffer): Buffer {
  return Buffer.concat([content, Buffer.alloc((BLOCK - (content.length % BLOCK)) % BLOCK)]);
}
