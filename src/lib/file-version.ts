/** A text that is another one whenever a file is another one, or has changed: inode number, time of change, size. */
import type { BigIntStats } from "node:fs";

export function fileVersion({ ino, ctimeNs, size }: BigIntStats): string {
  return `${ino}:${ctimeNs}:${size}`;
}
