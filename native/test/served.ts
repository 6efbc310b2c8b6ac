/** Files as a file server works with them: by a descriptor and a name. */
import * as sys from "sys";
import { readText, writeText } from "../runtime/files.ts";
import { decode } from "../runtime/text-codec.ts";
import { check, equal, ok, scratch, verify } from "./harness.ts";

const GROUP = "served";
const path = `${scratch}/served`;
const buffer = new ArrayBuffer(4096);
const view = new DataView(buffer);
const STAT_BYTES = 128;

function directory(): number {
  sys.mkdir(path, 0o755);
  return check(sys.open(path, sys.O_PATH | sys.O_DIRECTORY), "open the directory");
}

/** Type, permissions, links of a stat in the buffer. */
const modeOf = (): number => view.getUint32(24 + 60, true);

verify(GROUP, "names lead nowhere else", () => {
  const fd = directory();
  equal(sys.openEntry(fd, "..", sys.O_PATH), -sys.EINVAL, "up");
  equal(sys.openEntry(fd, "a/b", sys.O_PATH), -sys.EINVAL, "down");
  equal(sys.makeEntry(fd, "../x", sys.S_IFREG | 0o600), -sys.EINVAL, "made elsewhere");
  equal(sys.unlinkEntry(fd, "..", true), -sys.EINVAL, "removed elsewhere");
  equal(sys.renameEntry(fd, "x", fd, "../x", 0), -sys.EINVAL, "renamed to elsewhere");
  sys.symlink("/etc", `${path}/link`);
  equal(sys.openEntry(fd, "link", sys.O_RDONLY), -sys.ELOOP, "a symlink is not followed");
  sys.close(fd);
});

verify(GROUP, "files, directories and FIFOs are made, and no devices", () => {
  const fd = directory();
  equal(sys.makeEntry(fd, "file", sys.S_IFREG | 0o640), 0, "a file");
  equal(sys.makeEntry(fd, "dir", sys.S_IFDIR | 0o750), 0, "a directory");
  equal(sys.makeEntry(fd, "fifo", sys.S_IFIFO | 0o600), 0, "a FIFO");
  equal(sys.makeEntry(fd, "device", sys.S_IFCHR | 0o600), -sys.EPERM, "a device");
  equal(sys.statName(fd, "fifo", buffer, 0, STAT_BYTES), 0, "stat");
  equal(modeOf(), sys.S_IFIFO | 0o600, "what it is");
  const file = check(sys.openEntry(fd, "file", sys.O_PATH), "open");
  equal(sys.linkEntry(file, fd, "second"), 0, "link");
  equal(sys.unlinkEntry(fd, "file", false), 0, "unlink");
  equal(sys.unlinkEntry(fd, "second", false), 0, "unlink");
  equal(sys.chmodEntry(file, 0o604), 0, "chmod without a name");
  equal(sys.truncateEntry(file, 5), 0, "truncate without a name");
  equal(sys.statEntry(file, buffer, 0, STAT_BYTES), 0, "stat without a name");
  equal(modeOf(), sys.S_IFREG | 0o604, "its mode");
  const open = check(sys.reopen(file, sys.O_RDWR), "reopen without a name");
  equal(sys.pread(open, buffer, 0, 16, 0), 5, "its size");
  for (const each of [open, file, fd]) sys.close(each);
});

verify(GROUP, "a write appends, or goes where it belongs", () => {
  writeText(`${path}/text`, "one", 0o6755);
  const fd = check(sys.open(`${path}/text`, sys.O_RDWR), "open");
  new Uint8Array(buffer).set([0x32, 0x33]);
  equal(sys.writeContent(fd, buffer, 0, 2, 0, true), 2, "append");
  equal(sys.writeContent(fd, buffer, 0, 1, 0, false), 1, "overwrite");
  equal(readText(`${path}/text`), "2ne23", "content");
  sys.fchmod(fd, 0o6755);
  equal(sys.dropPrivilegesOf(fd), 0, "drop");
  equal((sys.fstat(fd) as { mode: number }).mode & 0o7777, 0o755, "no setuid any more");
  sys.close(fd);
});

verify(GROUP, "record locks are an open file's own", () => {
  const fds = [1, 2].map(() => check(sys.open(`${path}/text`, sys.O_RDWR), "open"));
  const [first = -1, second = -1] = fds;
  view.setBigUint64(0, 0n, true);
  view.setBigUint64(8, (1n << 63n) - 1n, true);
  view.setUint32(16, 1, true);
  equal(sys.recordLock(first, 1, buffer, 0, 24), 0, "lock");
  equal(sys.recordLock(second, 1, buffer, 0, 24), -sys.EAGAIN, "locked");
  equal(sys.recordLock(second, 0, buffer, 0, 24), 0, "who has it?");
  equal([view.getUint32(16, true), view.getBigUint64(8, true)], [1, (1n << 63n) - 1n], "all of it");
  sys.close(first);
  equal(sys.recordLock(second, 1, buffer, 0, 24), 0, "free again");
  sys.close(second);
});

verify(GROUP, "a listing has every name, with what it is", () => {
  sys.mkdir(`${path}/list`, 0o755);
  for (let index = 0; index < 50; index++) writeText(`${path}/list/entry-${index}`, "");
  const fd = check(sys.open(`${path}/list`, sys.O_RDONLY | sys.O_DIRECTORY), "open");
  const facts = new ArrayBuffer(STAT_BYTES * 64);
  const records = new ArrayBuffer(65_536);
  const length = sys.listEntries(fd, 0, 0, 3, true, records, 0, 65_536, facts, 0, facts.byteLength);
  ok(length > 52 * 152, "all records");
  const text = decode(new Uint8Array(records, 0, length));
  for (const name of ["entry-0", "entry-49"]) ok(text.includes(name), name);
  equal(new DataView(records).getUint16(128 + 6, true), 3, "the prefix of an inode");
  sys.close(fd);
});
