/**
 * Writes a cpio archive in the "newc" format, the format of an initramfs
 * (kernel documentation: driver-api/early-userspace/buffer-format).
 *
 * The kernel unpacks entries in their order, so parent directories must come first. All owners are root and all times are
 * zero, so the same input gives the same bytes. Must not compress: under software emulation, decompressing costs more than
 * reading the bytes.
 */

/** One member of the archive; paths have no leading slash. */
export type CpioEntry =
  | { readonly type: "file"; readonly path: string; readonly mode: number; readonly data: Uint8Array }
  | { readonly type: "directory"; readonly path: string; readonly mode: number }
  | { readonly type: "symlink"; readonly path: string; readonly target: string }
  | {
      readonly type: "characterDevice";
      readonly path: string;
      readonly mode: number;
      readonly major: number;
      readonly minor: number;
    };

/** File type bits of stat(2). */
const TYPE_BITS = {
  file: 0o100000,
  directory: 0o040000,
  symlink: 0o120000,
  characterDevice: 0o020000,
} as const;

const TRAILER = "TRAILER!!!";

/** The archive's bytes. */
export function writeCpio(entries: readonly CpioEntry[]): Buffer {
  const chunks: Uint8Array[] = [];
  entries.forEach((entry, index) => {
    const inode = index + 1;
    const data = dataOf(entry);
    const mode = TYPE_BITS[entry.type] | (entry.type === "symlink" ? 0o777 : entry.mode);
    const device = entry.type === "characterDevice" ? entry : { major: 0, minor: 0 };
    chunks.push(
      header(
        { inode, mode, size: data.length, device, links: entry.type === "directory" ? 2 : 1 },
        entry.path,
      ),
    );
    chunks.push(data, padding(data.length));
  });
  chunks.push(header({ inode: 0, mode: 0, size: 0, device: { major: 0, minor: 0 }, links: 1 }, TRAILER));
  return Buffer.concat(chunks);
}

interface Fields {
  readonly inode: number;
  readonly mode: number;
  readonly size: number;
  readonly links: number;
  readonly device: { readonly major: number; readonly minor: number };
}

/** The fixed header, the name with its NUL, and padding to four bytes. */
function header(fields: Fields, name: string): Buffer {
  const nameBytes = Buffer.from(`${name}\0`);
  const numbers = [
    fields.inode,
    fields.mode,
    0, // uid
    0, // gid
    fields.links,
    0, // mtime
    fields.size,
    0, // major of the device that holds the file
    0, // minor
    fields.device.major,
    fields.device.minor,
    nameBytes.length,
    0, // checksum, unused in newc
  ];
  const fixed = Buffer.from(`070701${numbers.map((value) => value.toString(16).padStart(8, "0")).join("")}`);
  return Buffer.concat([fixed, nameBytes, padding(fixed.length + nameBytes.length)]);
}

function dataOf(entry: CpioEntry): Uint8Array {
  if (entry.type === "file") return entry.data;
  return entry.type === "symlink" ? Buffer.from(entry.target) : Buffer.alloc(0);
}

function padding(length: number): Buffer {
  return Buffer.alloc((4 - (length % 4)) % 4);
}
