/**
 * Unpacks one layer of an image into a directory, in the form that overlayfs wants (image-spec, layer.md).
 *
 * Runs in a child whose root is the directory, so that no name and no symlink of the archive leads out of it. Owners,
 * times, extended attributes and hard links are kept. Whiteouts get overlayfs's form: a 0:0 character device for
 * `.wh.NAME`, the attribute trusted.overlay.opaque for `.wh..wh..opq`.
 */
import * as sys from "sys";
import { check } from "../../../native/runtime/check.ts";
import type { TextCodec } from "../../../src/protocol/wire/json.ts";
import { paddedSize, TAR_BLOCK, type TarEntry, TarHeaders } from "./tar-format.ts";

const WHITEOUT = ".wh.";
const OPAQUE = ".wh..wh..opq";
const COPY_BYTES = 256 * 1024;

/** Reads a tar from `fd` to its end and writes its members below "/". Throws an Error that names the member. */
export function unpackLayer(fd: number, text: TextCodec): void {
  sys.umask(0);
  const input = new Input(fd);
  const headers = new TarHeaders(text);
  const directoryTimes = new Map<string, number>();
  const block = new Uint8Array(TAR_BLOCK);
  while (input.fill(block)) {
    const header = headers.read(block);
    if (header.kind === "end") break;
    if (header.kind === "extension") {
      const data = new Uint8Array(paddedSize(header.size));
      input.fillWhole(data);
      headers.extend(header.typeFlag, data.subarray(0, header.size));
      continue;
    }
    const { entry } = header;
    const path = memberPath(entry.name);
    const rest = write(entry, path, input);
    input.skip(rest);
    if (entry.type === "directory") directoryTimes.set(path, entry.modifiedMs);
  }
  // padding after the end mark has to be read, too, or the decompressor fails
  while (input.drain() > 0);
  for (const [path, modifiedMs] of directoryTimes) sys.lutimes(path, modifiedMs, modifiedMs);
}

/** The path of a member. Names with ".." are refused, as by every unpacker. */
function memberPath(name: string): string {
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..")) throw new Error(`${name}: the name contains ".."`);
  return `/${parts.join("/")}`;
}

/** Makes one member. Returns how many bytes of its data are still to be read. */
function write(entry: TarEntry, path: string, input: Input): number {
  const left = paddedSize(entry.size);
  if (entry.type === "other" || path === "/.") return left;
  const slash = path.lastIndexOf("/");
  const [parent, base] = [path.slice(0, slash), path.slice(slash + 1)];
  if (base.startsWith(WHITEOUT)) {
    makeParents(parent);
    whiteout(parent, base);
    return left;
  }
  makeParents(parent);
  return make(entry, path, input);
}

function whiteout(parent: string, base: string): void {
  if (base === OPAQUE) {
    const yes = new Uint8Array([0x79]).buffer;
    const directory = parent === "" ? "/" : parent;
    check(sys.lsetxattr(directory, "trusted.overlay.opaque", yes, 0), "mark a directory opaque", directory);
    return;
  }
  // other names that start with .wh..wh. belong to aufs
  if (base.startsWith(".wh..wh.")) return;
  const path = `${parent}/${base.slice(WHITEOUT.length)}`;
  remove(path);
  check(sys.mknod(path, sys.S_IFCHR, 0, 0), "make a whiteout", path);
}

function make(entry: TarEntry, path: string, input: Input): number {
  const left = paddedSize(entry.size);
  switch (entry.type) {
    case "directory":
      makeDirectory(path);
      break;
    case "file":
      writeFile(entry, path, input);
      finish(entry, path);
      return left - entry.size;
    case "hardlink":
      remove(path);
      check(sys.link(memberPath(entry.linkName), path), "make a hard link", path);
      return left;
    case "symlink":
      remove(path);
      check(sys.symlink(entry.linkName, path), "make a symlink", path);
      break;
    case "fifo":
      remove(path);
      check(sys.mkfifo(path, entry.mode), "make a fifo", path);
      break;
    default: {
      const type = entry.type === "block" ? sys.S_IFBLK : sys.S_IFCHR;
      remove(path);
      check(sys.mknod(path, type | entry.mode, entry.major, entry.minor), "make a device", path);
    }
  }
  finish(entry, path);
  return left;
}

function makeDirectory(path: string): void {
  if (path === "/") return;
  const result = sys.mkdir(path, 0o755);
  if (result !== -sys.EEXIST) {
    check(result, "make a directory", path);
    return;
  }
  const stat = sys.lstat(path);
  if (typeof stat !== "number" && (stat.mode & sys.S_IFMT) === sys.S_IFDIR) return;
  remove(path);
  check(sys.mkdir(path, 0o755), "make a directory", path);
}

/** Makes the directories that the archive leaves out. */
function makeParents(path: string): void {
  if (path === "" || typeof sys.lstat(path) !== "number") return;
  makeParents(path.slice(0, path.lastIndexOf("/")));
  makeDirectory(path);
}

/** Removes what is at the member's path; a directory only if it is empty. */
function remove(path: string): void {
  if (sys.unlink(path) === -sys.EISDIR) sys.rmdir(path);
}

function writeFile(entry: TarEntry, path: string, input: Input): void {
  const flags = sys.O_WRONLY | sys.O_CREAT | sys.O_EXCL | sys.O_NOFOLLOW;
  let fd = sys.open(path, flags, 0o600);
  if (fd === -sys.EEXIST) {
    remove(path);
    fd = sys.open(path, flags, 0o600);
  }
  check(fd, "make a file", path);
  input.copyTo(fd, entry.size, path);
  sys.close(fd);
}

/** Sets owner, mode, attributes and times. The owner comes first: chown(2) clears setuid and file capabilities. */
function finish(entry: TarEntry, path: string): void {
  check(sys.lchown(path, entry.uid, entry.gid), "set an owner", path);
  if (entry.type !== "symlink") check(sys.chmod(path, entry.mode), "set a mode", path);
  for (const [name, value] of entry.attributes) {
    const bytes = value.slice().buffer;
    const result = sys.lsetxattr(path, name, bytes, 0);
    // a tmpfs has no user attributes: a documented limit, and no reason to fail
    if (result !== -sys.EOPNOTSUPP) check(result, "set an extended attribute", `${path} ${name}`);
  }
  sys.lutimes(path, entry.modifiedMs, entry.modifiedMs);
}

/** Buffered, blocking reads of the archive. */
class Input {
  private readonly buffer = new ArrayBuffer(COPY_BYTES);
  private start = 0;
  private end = 0;

  constructor(private readonly fd: number) {}

  /** Fills `target`; false at a clean end. */
  fill(target: Uint8Array): boolean {
    if (this.start === this.end && this.refill() === 0) return false;
    this.fillWhole(target);
    return true;
  }

  fillWhole(target: Uint8Array): void {
    let at = 0;
    while (at < target.length) {
      const part = this.take(target.length - at);
      target.set(part, at);
      at += part.length;
    }
  }

  copyTo(fd: number, size: number, path: string): void {
    let left = size;
    while (left > 0) {
      const part = this.take(left);
      let at = part.byteOffset;
      const stop = at + part.length;
      while (at < stop) at += check(sys.write(fd, this.buffer, at, stop - at), "write a file", path);
      left -= part.length;
    }
  }

  skip(size: number): void {
    for (let left = size; left > 0; ) left -= this.take(left).length;
  }

  /** Drops the buffer and reads again; 0 at the end. */
  drain(): number {
    this.start = this.end = 0;
    return this.refill();
  }

  /** Up to `most` bytes; the next call invalidates the view. Throws at the end. */
  private take(most: number): Uint8Array {
    if (this.start === this.end && this.refill() === 0)
      throw new Error("the layer ends in the middle of a file");
    const size = Math.min(most, this.end - this.start);
    const part = new Uint8Array(this.buffer, this.start, size);
    this.start += size;
    return part;
  }

  private refill(): number {
    this.start = 0;
    this.end = check(sys.read(this.fd, this.buffer, 0, COPY_BYTES), "read a layer");
    return this.end;
  }
}
