/**
 * Looks at the source of a volume, and reads what a guest gets a copy of: stat(2), statfs(2), readdir(3), read(2).
 *
 * A tree is read whole or not at all. What vanishes meanwhile has it read again: kubelet replaces whole directories, and
 * removes the old one (its AtomicWriter). No symlink is followed, and nothing but regular files is opened. Synchronous: for
 * workers.
 */
import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  type OpenDirOptions,
  opendirSync,
  openSync,
  readFileSync,
  readlinkSync,
  readSync,
  statfsSync,
  statSync,
} from "node:fs";
import path from "node:path";
import { BlazarError, blazarError } from "../../contracts/errors.ts";
import type { SourceFacts, VolumeCopy, VolumeEntry, VolumeOwner } from "../../contracts/volumes.ts";
import { fileVersion } from "../../lib/file-version.ts";
import { originOf } from "./mount-origin.ts";

/** What a copy may have at most. */
export interface CopyBounds {
  readonly bytes: number;
  readonly entries: number;
}

const FILESYSTEMS: Readonly<Record<number, SourceFacts["filesystem"]>> = {
  16914836: "tmpfs",
  2508478710: "hugetlbfs",
};
const PERMISSIONS = 0o7777n;
/** Kubelet's AtomicWriter points at its present directory by this link. */
const DATA_LINK = "..data";
/** As often as a directory may be replaced while it is read. */
const ATTEMPTS = 10;
const MAX_DEPTH = 32;
/** Directories that kubelet binds parts of volumes to. */
const PARTS = "/volume-subpaths/";
/** Node takes this encoding, and its types do not have it. */
const NAMES_AS_BYTES = {
  encoding: "buffer" as BufferEncoding,
  // nearly always all of them at once
  bufferSize: 1024,
} satisfies OpenDirOptions;
const NOWHERE = { mode: 0, uid: 0, gid: 0 };

/** Looks at a source. A look that is refused by the system is an error: the source may be there. */
export function lookAtSource(source: string): SourceFacts {
  const stat = statSync(source, { bigint: true, throwIfNoEntry: false });
  if (stat === undefined) {
    const nothing = { major: 0, minor: 0, filesystem: "other", filesystemBytes: 0, mounted: false } as const;
    return { type: "missing", ...NOWHERE, ...nothing, origin: source, originOwner: NOWHERE };
  }
  const { type, blocks, bsize } = statfsSync(source);
  const whole = wholeOf(source);
  return {
    type: typeOf(stat),
    ...ownerOf(stat),
    ...numberOf(stat),
    filesystem: FILESYSTEMS[type] ?? "other",
    filesystemBytes: blocks * bsize,
    ...whole,
  };
}

/** What a source is a part of. */
function wholeOf(source: string): Pick<SourceFacts, "origin" | "originOwner" | "mounted"> {
  const part = source.includes(PARTS)
    ? originOf(source, readFileSync("/proc/self/mountinfo", "utf8"))
    : undefined;
  if (part?.mountPoint !== undefined) {
    const owner = statSync(part.mountPoint, { bigint: true, throwIfNoEntry: false });
    return { origin: part.path, originOwner: owner === undefined ? NOWHERE : ownerOf(owner), mounted: true };
  }
  const own = statSync(source, { bigint: true });
  const above = statSync(path.dirname(source), { bigint: true });
  return { origin: part?.path ?? source, originOwner: ownerOf(own), mounted: own.dev !== above.dev };
}

/** Reads a directory or a file. Throws StorageFailed, also when it does not stay the same for long enough. */
export function readTree(source: string, bounds: CopyBounds): VolumeCopy {
  for (let attempt = 1; ; attempt++) {
    try {
      return new TreeReader(bounds).read(source);
    } catch (error) {
      if (error instanceof Refusal) return { refused: error.reason };
      if (!(error instanceof Vanished) || attempt === ATTEMPTS) throw unreadable(source, error);
    }
  }
}

class TreeReader {
  private readonly entries: VolumeEntry[] = [];
  private bytes = 0;

  constructor(private readonly bounds: CopyBounds) {}

  read(source: string): VolumeCopy {
    const before = dataLinkOf(source);
    this.add(source, "", 0);
    this.checkData(before, dataLinkOf(source));
    return { entries: this.entries };
  }

  private add(file: string, name: string, depth: number): void {
    if (this.entries.length === this.bounds.entries)
      throw new Refusal(`it has more than ${this.bounds.entries} files`);
    const stat = lstatSync(file, { bigint: true, throwIfNoEntry: false });
    if (stat === undefined) throw new Vanished();
    const type = typeOf(stat);
    if (stat.isSymbolicLink())
      this.push(
        name,
        "link",
        stat,
        whileThere(() => readlinkSync(file)),
      );
    else if (type === "directory") this.addDirectory(file, name, depth);
    else if (type === "file") this.addFile(file, name);
    else throw new Refusal(`it has something that is no file (${type})`);
  }

  /** What is in it is read below its descriptor: whoever puts a link in its place meanwhile has nothing else read. */
  private addDirectory(file: string, name: string, depth: number): void {
    if (depth > MAX_DEPTH) throw new Refusal(`it is more than ${MAX_DEPTH} directories deep`);
    const { O_RDONLY, O_NOFOLLOW, O_DIRECTORY } = constants;
    const fd = whileThere(() => openSync(file, O_RDONLY | O_NOFOLLOW | O_DIRECTORY));
    try {
      const before = fstatSync(fd, { bigint: true });
      this.push(name, "directory", before, "");
      const directory = `/proc/self/fd/${fd}`;
      const names = whileThere(() => namesIn(directory, this.bounds.entries));
      // names that have gone in the middle of it would be missing
      if (fileVersion(fstatSync(fd, { bigint: true })) !== fileVersion(before)) throw new Vanished();
      for (const raw of names) {
        const child = raw.toString();
        if (!Buffer.from(child).equals(raw)) throw new Refusal("it has a name that is not UTF-8");
        this.add(`${directory}/${child}`, name === "" ? child : `${name}/${child}`, depth + 1);
      }
    } finally {
      closeSync(fd);
    }
  }

  private addFile(file: string, name: string): void {
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
    const fd = whileThere(() => openSync(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK));
    try {
      const stat = fstatSync(fd, { bigint: true });
      if (!stat.isFile()) throw new Vanished();
      this.bytes += Number(stat.size);
      if (this.bytes > this.bounds.bytes) throw new Refusal(`it has more than ${this.bounds.bytes} bytes`);
      this.push(name, "file", stat, readExactly(fd, Number(stat.size)).toString("base64"));
    } finally {
      closeSync(fd);
    }
  }

  private push(name: string, type: VolumeEntry["type"], stat: BigIntStats, content: string): void {
    this.entries.push({
      path: name,
      type,
      ...ownerOf(stat),
      mtimeMs: Number(stat.mtimeMs),
      content,
      version: fileVersion(stat),
    });
  }

  /**
   * Kubelet's link is the same before, in and after what was read: then its directory was whole before, and nothing of it was removed
   * meanwhile. Otherwise together they might be no state that there has been.
   */
  private checkData(before: string | undefined, after: string | undefined): void {
    const link = this.entries.find(({ path: name, type }) => name === DATA_LINK && type === "link");
    if (before !== after || before !== link?.content) throw new Vanished();
    if (link !== undefined && !this.entries.some(({ path: name }) => name === link.content))
      throw new Vanished();
  }
}

/** Where kubelet's link in a directory points; undefined where there is none. */
function dataLinkOf(source: string): string | undefined {
  try {
    return readlinkSync(path.join(source, DATA_LINK));
  } catch {
    return undefined;
  }
}

/** Read piece by piece, because a pod can put millions of names into a directory. Throws Refusal if there are more than that. */
function namesIn(directory: string, most: number): Buffer[] {
  const dir = opendirSync(directory, NAMES_AS_BYTES);
  try {
    const names: Buffer[] = [];
    for (let entry = dir.readSync(); entry !== null; entry = dir.readSync()) {
      if (names.length === most) throw new Refusal(`it has more than ${most} files`);
      names.push(entry.name as unknown as Buffer);
    }
    return names;
  } finally {
    dir.closeSync();
  }
}

/** Files that are written while they are read get the size that they had. */
function readExactly(fd: number, size: number): Buffer {
  const buffer = Buffer.alloc(size);
  let length = 0;
  while (length < size) {
    const count = readSync(fd, buffer, length, size - length, length);
    if (count === 0) break;
    length += count;
  }
  return buffer.subarray(0, length);
}

/** Something is not there any more, or is something else. */
class Vanished extends Error {}

/** The tree cannot be copied. */
class Refusal extends Error {
  constructor(readonly reason: string) {
    super(reason);
  }
}

function whileThere<T>(action: () => T): T {
  try {
    return action();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR" || code === "ELOOP" || code === "EINVAL")
      throw new Vanished();
    throw error;
  }
}

function unreadable(source: string, error: unknown): BlazarError {
  const about = { operation: "read a volume", subject: source };
  if (!(error instanceof Vanished)) return BlazarError.wrap(error, "StorageFailed", about);
  const reason = "its files keep vanishing while they are read";
  return blazarError("StorageFailed", about.operation, reason, { subject: source });
}

function typeOf(stat: BigIntStats): SourceFacts["type"] {
  if (stat.isDirectory()) return "directory";
  if (stat.isSocket()) return "socket";
  if (stat.isFIFO()) return "fifo";
  if (stat.isBlockDevice()) return "block";
  return stat.isCharacterDevice() ? "character" : "file";
}

function ownerOf(stat: BigIntStats): VolumeOwner {
  return { mode: Number(stat.mode & PERMISSIONS), uid: Number(stat.uid), gid: Number(stat.gid) };
}

/** As the C library takes a device number apart (makedev(3)). */
function numberOf({ rdev }: BigIntStats): { major: number; minor: number } {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xffff_f000n);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & 0xffff_ff00n);
  return { major: Number(major), minor: Number(minor) };
}
