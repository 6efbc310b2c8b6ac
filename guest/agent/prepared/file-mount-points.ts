/**
 * Places for the sandbox's files in a container's /etc, made ahead in its writable layer.
 *
 * Most images lack some of hosts, hostname and resolv.conf: making the first of them has overlayfs copy /etc up, which is
 * a tenth of what a container's creation costs an emulated guest. An empty file in the upper directory does as well, for
 * the sandbox's is mounted over it; but the upper /etc then stands for the image's, so that they have to be alike.
 */
import * as sys from "sys";
import { check } from "../../../native/runtime/check.ts";
import { writeText } from "../../../native/runtime/files.ts";

const DIRECTORY = "/etc";
const NAMES = ["hosts", "hostname", "resolv.conf"];
const MODE = 0o755;

/** Makes them below an upper directory. False if there is an /etc in it already, which stays as it is. */
export function makeFilePlaces(upper: string): boolean {
  const directory = `${upper}${DIRECTORY}`;
  const made = sys.mkdir(directory, MODE);
  if (made === -sys.EEXIST) return false;
  check(made, "make a place for the sandbox's files", directory);
  check(sys.chmod(directory, MODE), "make a place for the sandbox's files", directory);
  for (const name of NAMES) writeText(`${directory}/${name}`, "");
  return true;
}

/** Removes what was made. */
export function removeFilePlaces(upper: string): void {
  const directory = `${upper}${DIRECTORY}`;
  for (const name of NAMES) {
    check(sys.unlink(`${directory}/${name}`), "remove a place for the sandbox's files", directory);
  }
  check(sys.rmdir(directory), "remove a place for the sandbox's files", directory);
}

/**
 * Whether they can stay: each is mounted over, and the image's own /etc is a directory like the one made.
 * @param covered destinations in the container that the sandbox's files go to
 */
export function filePlacesFit(lower: readonly string[], covered: ReadonlySet<string>): boolean {
  const [only] = lower;
  // a relative one lies in the layer: of an archive, which has layers of its own
  if (only === undefined || lower.length > 1 || !only.startsWith("/")) return false;
  for (const name of NAMES) if (!covered.has(`${DIRECTORY}/${name}`)) return false;
  const directory = `${only}${DIRECTORY}`;
  const stat = sys.lstat(directory);
  if (typeof stat === "number" || stat.mode !== (sys.S_IFDIR | MODE) || stat.uid !== 0 || stat.gid !== 0)
    return false;
  const attributes = sys.llistxattr(directory);
  return attributes === 0 || attributes === -sys.EOPNOTSUPP;
}
