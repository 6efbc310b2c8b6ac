/** Files, directories and descriptors. */
import * as sys from "sys";
import { BlazarError } from "../../src/contracts/errors.ts";
import { errnoOf } from "../runtime/check.ts";
import {
  exists,
  listDirectory,
  makeDirectories,
  processStartTime,
  readText,
  readTextIfPresent,
  withFile,
  writeAll,
  writeText,
} from "../runtime/files.ts";
import { decode, encode } from "../runtime/text-codec.ts";
import { check, checkValue, equal, ok, scratch, verify } from "./harness.ts";

const GROUP = "files";
const directory = `${scratch}/files`;
const at = (name: string): string => `${directory}/${name}`;

verify(GROUP, "directories are made, listed and removed", () => {
  makeDirectories(at("a/b/c"));
  makeDirectories(at("a/b/c"));
  equal(listDirectory(at("a/b")), ["c"], "names");
  equal(sys.rmdir(at("a")), -sys.ENOTEMPTY, "rmdir of a full one");
  equal(sys.rmdir(at("a/b/c")), 0, "rmdir");
});

verify(GROUP, "text goes in and comes out, within its limit", () => {
  writeText(at("text"), "grün\n", 0o600);
  equal(readText(at("text")), "grün\n", "content");
  equal(sys.readFile(at("text"), 5), -sys.EFBIG, "over the limit");
  equal(sys.readFile(at("text"), 6), "grün\n", "at the limit");
  equal(readTextIfPresent(at("none")), undefined, "no such file");
  writeText(at("text"), "");
  equal(readText(at("text")), "", "truncated");
  const bytes = checkValue(sys.readFileBytes("/proc/self/cmdline", 4096), "read");
  ok(decode(new Uint8Array(bytes)).includes("\0"), "NUL in /proc");
  ok(readText("/proc/mounts").length > 0, "a file of size 0 in /proc");
});

verify(GROUP, "a FIFO in a file's place does not hang", () => {
  equal(sys.mkfifo(at("fifo"), 0o600), 0, "mkfifo");
  equal(sys.readFile(at("fifo"), 10), "", "read");
  equal(sys.writeFile(at("fifo"), "x"), -sys.ENXIO, "write");
});

verify(GROUP, "links, modes, owners and times", () => {
  writeText(at("f"), "12345");
  equal(sys.symlink("f", at("soft")), 0, "symlink");
  equal(sys.readlink(at("soft")), "f", "readlink");
  equal(sys.link(at("f"), at("hard")), 0, "link");
  equal(sys.rename(at("hard"), at("hard2")), 0, "rename");
  equal(sys.chmod(at("f"), 0o4711), 0, "chmod");
  equal(sys.lchown(at("soft"), 7, 8), 0, "lchown");
  equal(sys.lutimes(at("f"), 1500.5, 2_000_000_000_123), 0, "lutimes");
  const stat = checkValue(sys.stat(at("soft")), "stat");
  const link = checkValue(sys.lstat(at("soft")), "lstat");
  equal([stat.size, stat.nlink, stat.mode & 0o7777, stat.mtimeMs], [5, 2, 0o4711, 2_000_000_000_123], "stat");
  equal([link.uid, link.gid, link.mode & sys.S_IFMT], [7, 8, sys.S_IFLNK], "lstat");
  equal(typeof stat.ino, "bigint", "inode numbers are 64 bits");
  equal(sys.unlink(at("hard2")), 0, "unlink");
  ok(exists(at("soft")) && !exists(at("hard2")), "exists");
});

verify(GROUP, "device nodes and extended attributes", () => {
  const mask = sys.umask(0);
  equal(sys.mknod(at("null"), sys.S_IFCHR | 0o666, 1, 3), 0, "mknod");
  equal(sys.umask(mask), 0, "umask");
  const stat = checkValue(sys.stat(at("null")), "stat");
  equal([stat.mode & 0o777, stat.rdevMajor, stat.rdevMinor], [0o666, 1, 3], "device");
  equal(sys.lsetxattr(at("f"), "trusted.blazar", encode("v").buffer, 0), 0, "lsetxattr");
  const value = checkValue(sys.lgetxattr(at("f"), "trusted.blazar"), "lgetxattr");
  equal(decode(new Uint8Array(value)), "v", "xattr");
  equal(sys.lgetxattr(at("f"), "trusted.none"), -sys.ENODATA, "no xattr");
  equal(sys.llistxattr(at("f")), "trusted.blazar".length + 1, "its names");
});

verify(GROUP, "reads and writes take a part of a buffer", () => {
  const fd = check(sys.open(at("rw"), sys.O_RDWR | sys.O_CREAT, 0o600), "open");
  const buffer = encode("..hello..").buffer;
  equal(sys.write(fd, buffer, 2, 5), 5, "write");
  equal(sys.pwrite(fd, buffer, 0, 2, 10), 2, "pwrite");
  equal(sys.lseek(fd, 1, 0), 1, "lseek");
  const into = new Uint8Array(8);
  equal(sys.read(fd, into.buffer, 1, 4), 4, "read");
  equal(decode(into), "\0ello\0\0\0", "the rest is untouched");
  equal(sys.pread(fd, into.buffer, 0, 8, 100), 0, "pread beyond the end");
  equal(sys.ftruncate(fd, 3), 0, "ftruncate");
  equal(checkValue(sys.fstat(fd), "fstat").size, 3, "fstat");
  equal(sys.fallocate(fd, sys.FALLOC_FL_KEEP_SIZE, 0, 4096), 0, "fallocate");
  equal([sys.fsync(fd), sys.syncfs(fd), sys.fchmod(fd, 0o640), sys.fchown(fd, 1, 1)], [0, 0, 0, 0], "f*");
  sys.close(fd);
});

verify(GROUP, "descriptors are close-on-exec unless asked otherwise", () => {
  const flags = (fd: number): number => check(sys.fcntl(fd, sys.F_GETFD, 0), "F_GETFD");
  const [a, b] = checkValue(sys.pipe2(0), "pipe2");
  const [c, d] = checkValue(sys.pipe2(sys.O_INHERIT | sys.O_NONBLOCK), "pipe2");
  const file = check(sys.open("/dev/null", sys.O_RDWR), "open");
  const kept = check(sys.open("/dev/null", sys.O_RDWR | sys.O_INHERIT), "open");
  equal([a, b, c, d, file, kept].map(flags), [1, 1, 0, 0, 1, 0], "FD_CLOEXEC");
  equal(sys.setCloexec(file, false), 0, "off");
  equal([flags(file), flags(sys.dup(file))], [0, 1], "dup");
  equal(sys.dup2(a, a), a, "dup2 onto itself");
  equal(flags(a), 0, "loses the flag");
  const buffer = new ArrayBuffer(1);
  equal(sys.read(c, buffer, 0, 1), -sys.EAGAIN, "nonblocking");
  equal(sys.write(d, buffer, 0, 1), 1, "write");
  equal(sys.pendingBytes(c), 1, "FIONREAD");
  equal(sys.setNonblock(c, false), 0, "blocking");
  equal(sys.read(c, buffer, 0, 1), 1, "read");
  equal(sys.closeRange(a, kept + 1, 0), 0, "close_range");
  equal(sys.fcntl(file, sys.F_GETFD, 0), -sys.EBADF, "closed");
});

verify(GROUP, "what is there in several pieces is read at once", () => {
  const O_DIRECT = 0o40000;
  // each write is a packet, of which one read(2) takes one
  const [reader, writer] = checkValue(sys.pipe2(O_DIRECT | sys.O_NONBLOCK), "pipe2");
  const into = new Uint8Array(8);
  const pieces = new Uint8Array([1, 2, 3, 4, 5]);
  equal(sys.readAvailable(reader, into.buffer, 0, 8), -sys.EAGAIN, "nothing");
  for (const [offset, length] of [
    [0, 2],
    [2, 3],
  ] as const)
    sys.write(writer, pieces.buffer, offset, length);
  equal(sys.readAvailable(reader, into.buffer, 1, 7), 5, "both pieces");
  equal([...into], [0, 1, 2, 3, 4, 5, 0, 0], "at the offset");
  sys.write(writer, pieces.buffer, 0, 3);
  sys.write(writer, pieces.buffer, 3, 1);
  equal(sys.readAvailable(reader, into.buffer, 0, 3), 3, "no more than there is room");
  sys.close(writer);
  equal(sys.readAvailable(reader, into.buffer, 0, 8), 1, "what is left");
  equal(sys.readAvailable(reader, into.buffer, 0, 8), 0, "the end");
  sys.close(reader);
});

verify(GROUP, "openat2 keeps a path inside its root", () => {
  makeDirectories(at("root/etc"));
  writeText(at("root/etc/name"), "inside");
  sys.symlink("/etc/name", at("root/absolute"));
  sys.symlink("../../../../etc/passwd", at("root/up"));
  const root = check(sys.open(at("root"), sys.O_PATH | sys.O_DIRECTORY), "open");
  const fd = check(sys.openat2(root, "absolute", sys.O_RDONLY, 0, sys.RESOLVE_IN_ROOT), "openat2");
  const into = new Uint8Array(6);
  equal(sys.read(fd, into.buffer, 0, 6), 6, "read");
  equal(decode(into), "inside", "resolved in the root");
  equal(sys.openat2(root, "up", sys.O_RDONLY, 0, sys.RESOLVE_IN_ROOT), -sys.ENOENT, "not outside");
  equal(sys.openat2(root, "absolute", sys.O_RDONLY, 0, sys.RESOLVE_BENEATH), -sys.EXDEV, "beneath");
  equal(sys.fchdir(root), 0, "fchdir");
  equal(sys.getcwd(), at("root"), "getcwd");
  equal(sys.chdir("/"), 0, "chdir");
  sys.close(fd);
  sys.close(root);
});

verify(GROUP, "copies, locks, seals and space", () => {
  writeText(at("from"), "copy me");
  withFile(at("from"), sys.O_RDONLY, (from) =>
    withFile(at("to"), sys.O_RDWR | sys.O_CREAT, (to) => {
      equal(sys.copyFileRange(from, to, 4), 4, "copy_file_range");
      equal(sys.sendfile(to, from, 100), 3, "sendfile");
      equal(sys.flock(to, sys.LOCK_EX | sys.LOCK_NB), 0, "flock");
      withFile(at("to"), sys.O_RDONLY, (other) => {
        equal(sys.flock(other, sys.LOCK_EX | sys.LOCK_NB), -sys.EAGAIN, "locked");
      });
    }),
  );
  equal(readText(at("to")), "copy me", "copied");
  const memory = check(sys.memfdCreate("test", sys.MFD_ALLOW_SEALING), "memfd_create");
  writeAll(memory, encode("sealed"));
  equal(sys.fcntl(memory, sys.F_ADD_SEALS, sys.F_SEAL_WRITE), 0, "seal");
  equal(sys.write(memory, encode("x").buffer, 0, 1), -sys.EPERM, "sealed");
  sys.close(memory);
  const space = checkValue(sys.statfs(directory), "statfs");
  ok(space.blocks > 0 && space.blockSize > 0, "statfs");
});

verify(GROUP, "errors keep the errno as their cause", () => {
  try {
    readText("/nonexistent");
    throw new Error("read");
  } catch (error) {
    ok(error instanceof BlazarError, "class");
    equal(errnoOf(error), sys.ENOENT, "errno");
    ok(
      String(error).includes("cannot read (/nonexistent): No such file or directory (ENOENT)"),
      String(error),
    );
  }
  ok((processStartTime(sys.getpid()) ?? 0) > 0, "start time");
  equal(processStartTime(2 ** 22 + 1), undefined, "start time of nobody");
});
