/**
 * Mount points for the sandbox's files, prepared in the upper directory of a writable layer: /etc/hosts and the like.
 *
 * Most images lack one of hosts, hostname and resolv.conf. To make the first of them, overlayfs copies /etc up, which is a
 * tenth of what a container's creation costs an emulated guest. An empty file in the upper directory serves as well,
 * because the sandbox's file is mounted over it. But the upper /etc then replaces the attributes of the image's /etc, so
 * the two must be alike.
 */
import * as sys from "sys";
import { check } from "../../../native/runtime/check.ts";
import { writeText } from "../../../native/runtime/files.ts";

const DIRECTORY = "/etc";
const NAMES = ["hosts", "hostname", "resolv.conf"];
const MODE = 0o755;

/** Makes them below an upper directory. False if it has an /etc already, which stays as it is. */
export function makeFileMountPoints(upper: string): boolean {
  const directory = `${upper}${DIRECTORY}`;
  const made = sys.mkdir(directory, MODE);
  if (made === -sys.EEXIST) return false;
  check(made, "make mount points for the sandbox's files", directory);
  check(sys.chmod(directory, MODE), "make mount points for the sandbox's files", directory);
  for (const name of NAMES) writeText(`${directory}/${name}`, "");
  return true;
}

/** Removes what {@link makeFileMountPoints} has made. */
export function removeFileMountPoints(upper: string): void {
  const directory = `${upper}${DIRECTORY}`;
  for (const name of NAMES) {
    check(sys.unlink(`${directory}/${name}`), "remove mount points for the sandbox's files", directory);
  }
  check(sys.rmdir(directory), "remove mount points for the sandbox's files", directory);
}

/**
 * Whether they can stay: each is mounted over, the image has nothing but files in their places, and its /etc is a directory
 * like the one that was made.
 * @param covered destinations in the container that the sandbox's files are mounted at
 */
export function fileMountPointsFit(lower: readonly string[], covered: ReadonlySet<string>): boolean {
  const [only] = lower;
  // a relative name belongs to an unpacked archive, which has several layers
  if (only === undefined || lower.length > 1 || !only.startsWith("/")) return false;
  for (const name of NAMES) if (!covered.has(`${DIRECTORY}/${name}`)) return false;
  const directory = `${only}${DIRECTORY}`;
  const stat = sys.lstat(directory);
  if (typeof stat === "number" || stat.mode !== (sys.S_IFDIR | MODE) || stat.uid !== 0 || stat.gid !== 0)
    return false;
  // an upper file would hide a link or a directory of the image
  for (const name of NAMES) {
    const there = sys.lstat(`${directory}/${name}`);
    if (typeof there !== "number" && (there.mode & sys.S_IFMT) !== sys.S_IFREG) return false;
  }
  const attributes = sys.llistxattr(directory);
  return attributes === 0 || attributes === -sys.EOPNOTSUPP;
}
