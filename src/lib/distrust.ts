/**
 * Whether a directory's content can be trusted: only root and this process's user may change what is in it (inode(7)).
 */
import type { Stats } from "node:fs";

const OTHERS_WRITE = 0o002;
const GROUP_WRITES = 0o020;

/** Why nothing in it can be trusted; undefined if it can. @param directory of lstat(2), if a link to one is none */
export function distrust(directory: Stats): string | undefined {
  const { uid, gid, mode } = directory;
  if (directory.isSymbolicLink()) return "it is a symbolic link";
  if (!directory.isDirectory()) return "it is no directory";
  if (uid !== 0 && uid !== process.geteuid?.()) return `it belongs to user ${uid}`;
  const writers = gid === 0 ? OTHERS_WRITE : OTHERS_WRITE | GROUP_WRITES;
  return (mode & writers) === 0 ? undefined : "others may write to it";
}
