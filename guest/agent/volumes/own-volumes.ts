/**
 * Own volumes: directories on a container's disk that stand for a VOLUME of its OCI image.
 *
 * Runs in the child, before it leaves the guest's root. A new one begins as what the root has at the destination, as
 * containerd fills its own directory for such a volume. It stays on the disk as long as the disk does. What it begins with
 * is small: the host has looked at it.
 */
import * as sys from "sys";
import { check, checkValue } from "../../../native/runtime/check.ts";
import { makeDirectories } from "../../../native/runtime/files.ts";

const RESOLVE = sys.RESOLVE_IN_ROOT | sys.RESOLVE_NO_MAGICLINKS;
const PERMISSIONS = 0o7777;
const COPY_BYTES = 1024 * 1024;
const OPERATION = "fill a volume of the image";

/** The place of a volume below `places`, which is filled from `destination` in `rootfs` if it is new. */
export function ownVolume(places: string, name: string, rootfs: string, destination: string): string {
  const place = `${places}/${name}`;
  if (typeof sys.lstat(place) !== "number") return place;
  makeDirectories(places, 0o700);
  const root = check(sys.open(rootfs, sys.O_PATH | sys.O_DIRECTORY), "open the container's root", rootfs);
  const source = sys.openat2(root, destination, sys.O_RDONLY | sys.O_DIRECTORY, 0, RESOLVE);
  sys.close(root);
  // complete, or not of this name: the disk may outlive the container
  const unfinished = `${place}.new`;
  if (source < 0) makeEmpty(unfinished, rootfs, destination);
  else {
    copyTree(`/proc/self/fd/${source}/.`, unfinished, destination);
    sys.close(source);
  }
  check(sys.rename(unfinished, place), OPERATION, destination);
  return place;
}

/** What the OCI image does not have belongs to whom its root belongs: in a user namespace that is not the guest's root. */
function makeEmpty(path: string, rootfs: string, shown: string): void {
  const { uid, gid } = checkValue(sys.lstat(rootfs), OPERATION, shown);
  check(sys.mkdir(path, 0o755), OPERATION, shown);
  check(sys.lchown(path, uid, gid), OPERATION, shown);
}

/** Copies what is at a path: owners, modes and times; a link as a link. `shown` is for errors. */
function copyTree(from: string, to: string, shown: string): void {
  const stat = checkValue(sys.lstat(from), OPERATION, shown);
  const mode = stat.mode & PERMISSIONS;
  switch (stat.mode & sys.S_IFMT) {
    case sys.S_IFDIR:
      check(sys.mkdir(to, 0o700), OPERATION, shown);
      for (const name of checkValue(sys.readdir(from), OPERATION, shown))
        copyTree(`${from}/${name}`, `${to}/${name}`, `${shown}/${name}`);
      break;
    case sys.S_IFREG:
      copyFile(from, to, shown);
      break;
    case sys.S_IFLNK:
      check(sys.symlink(checkValue(sys.readlink(from), OPERATION, shown), to), OPERATION, shown);
      break;
    default:
      check(sys.mknod(to, stat.mode, stat.rdevMajor, stat.rdevMinor), OPERATION, shown);
  }
  check(sys.lchown(to, stat.uid, stat.gid), OPERATION, shown);
  if ((stat.mode & sys.S_IFMT) !== sys.S_IFLNK) check(sys.chmod(to, mode), OPERATION, shown);
  sys.lutimes(to, stat.mtimeMs, stat.mtimeMs);
}

function copyFile(from: string, to: string, shown: string): void {
  const input = check(sys.open(from, sys.O_RDONLY | sys.O_NOFOLLOW), OPERATION, shown);
  const output = check(sys.open(to, sys.O_WRONLY | sys.O_CREAT | sys.O_EXCL, 0o600), OPERATION, shown);
  while (check(sys.sendfile(output, input, COPY_BYTES), OPERATION, shown) > 0);
  sys.close(input);
  sys.close(output);
}
