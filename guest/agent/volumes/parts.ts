/**
 * Writes, renames and removes within a volume: openat2(2), fchdir(2), and one name at a time.
 *
 * The directory of each name is found below the volumes without symlinks. What the host has may be anything, and it may have
 * changed while it was read: a link that stands where a directory was must not lead out of the volumes.
 */
import * as sys from "sys";
import { check, checkValue, failure } from "../../../native/runtime/check.ts";
import { writeAll } from "../../../native/runtime/files.ts";
import type { VolumePart } from "../../../src/protocol/guest/volumes.ts";
import { checkedVolumePath } from "../path-checks.ts";

const RESOLVE = sys.RESOLVE_BENEATH | sys.RESOLVE_NO_SYMLINKS;
const OPERATION = "write to a volume";

/** Writes parts; the directory of the last one stays open, because the next is mostly beside it. */
export class PartWriter {
  private readonly root: number;
  private parent = "";
  private entered = false;

  constructor(root: string) {
    this.root = check(sys.open(root, sys.O_PATH | sys.O_DIRECTORY), "open the volumes", root);
  }

  /** @param keeps what is there of a directory's name stays as it is: a container has made it */
  write(volume: string, part: VolumePart, keeps: boolean): void {
    const path = part.path === "" ? volume : `${volume}/${checkedVolumePath(part.path)}`;
    const slash = path.lastIndexOf("/");
    this.enter(path.slice(0, Math.max(0, slash)), path);
    const name = path.slice(slash + 1);
    if (part.type === "directory") writeDirectory(name, part, path, keeps);
    else if (part.type === "link") writeLink(name, part, path);
    else writeFile(name, part, path);
  }

  close(): void {
    sys.close(this.root);
    sys.chdir("/");
  }

  private enter(parent: string, path: string): void {
    if (this.entered && parent === this.parent) return;
    enterBelow(this.root, parent, path);
    this.parent = parent;
    this.entered = true;
  }
}

/** Makes the directory `parent` below `root` the working directory. */
function enterBelow(root: number, parent: string, path: string): void {
  const flags = sys.O_PATH | sys.O_DIRECTORY;
  const directory = sys.openat2(root, parent === "" ? "." : parent, flags, 0, RESOLVE);
  check(directory, OPERATION, path);
  const entered = sys.fchdir(directory);
  sys.close(directory);
  check(entered, OPERATION, path);
}

function writeDirectory(name: string, { mode, uid, gid }: VolumePart, path: string, keeps: boolean): void {
  const made = sys.mkdir(name, 0o700);
  if (made === -sys.EEXIST && keeps) return;
  if (made !== -sys.EEXIST) check(made, OPERATION, path);
  const fd = check(sys.open(name, sys.O_RDONLY | sys.O_DIRECTORY | sys.O_NOFOLLOW), OPERATION, path);
  own(fd, mode, uid, gid, path);
}

function writeFile(
  name: string,
  { offset, content, mode, uid, gid, mtimeMs }: VolumePart,
  path: string,
): void {
  const flags =
    sys.O_WRONLY | sys.O_CREAT | sys.O_NOFOLLOW | sys.O_NONBLOCK | (offset === 0 ? sys.O_TRUNC : 0);
  const fd = check(sys.open(name, flags, 0o600), OPERATION, path);
  try {
    if (content !== "") {
      check(sys.lseek(fd, offset, 0), OPERATION, path);
      writeAll(fd, new Uint8Array(sys.base64Decode(content)));
    }
  } catch (error) {
    sys.close(fd);
    throw error;
  }
  own(fd, mode, uid, gid, path);
  sys.lutimes(name, mtimeMs, mtimeMs);
}

function writeLink(name: string, { content, uid, gid, mtimeMs }: VolumePart, path: string): void {
  const there = sys.unlink(name);
  if (there !== -sys.ENOENT) check(there, OPERATION, path);
  check(sys.symlink(content, name), OPERATION, path);
  check(sys.lchown(name, uid, gid), OPERATION, path);
  sys.lutimes(name, mtimeMs, mtimeMs);
}

/** Closes the descriptor. The owner comes first, because a change of it clears set-uid and set-gid. */
function own(fd: number, mode: number, uid: number, gid: number, path: string): void {
  const owned = uid === 0 && gid === 0 ? 0 : sys.fchown(fd, uid, gid);
  const allowed = owned < 0 ? owned : sys.fchmod(fd, mode);
  sys.close(fd);
  check(allowed, OPERATION, path);
}

/** Renames over what is there. Both names are in one directory of the volume. */
export function renameWithin(volume: string, from: string, to: string): void {
  within(volume, from, (name) => {
    const slash = checkedVolumePath(to).lastIndexOf("/");
    check(sys.rename(name, to.slice(slash + 1)), "replace a part of a volume", to);
  });
}

/** Removes what is of this name, and all below it; no symlink is followed. */
export function removeTree(volume: string, path: string): void {
  within(volume, path, (name) => remove(name, path));
}

function within(volume: string, path: string, action: (name: string) => void): void {
  const slash = checkedVolumePath(path).lastIndexOf("/");
  const root = check(
    sys.open(volume, sys.O_PATH | sys.O_DIRECTORY | sys.O_NOFOLLOW),
    "open a volume",
    volume,
  );
  try {
    enterBelow(root, path.slice(0, Math.max(0, slash)), path);
    action(path.slice(slash + 1));
  } finally {
    sys.close(root);
    sys.chdir("/");
  }
}

function remove(name: string, path: string): void {
  const stat = sys.lstat(name);
  if (stat === -sys.ENOENT) return;
  if (typeof stat === "number") throw failure(stat, "Internal", "remove a part of a volume", path);
  if ((stat.mode & sys.S_IFMT) !== sys.S_IFDIR) {
    check(sys.unlink(name), "remove a part of a volume", path);
    return;
  }
  for (const child of checkValue(sys.readdir(name), "remove a part of a volume", path))
    remove(`${name}/${child}`, path);
  check(sys.rmdir(name), "remove a part of a volume", path);
}
