/**
 * A text that is another one whenever a file is another one, or has changed: device and inode number, time of change, size.
 */
import type { BigIntStats } from "node:fs";

export function fileVersion({ dev, ino, ctimeNs, size }: BigIntStats): string {
  return `${dev}:${ino}:${ctimeNs}:${size}`;
}

/** Whether both are versions of one file. */
export function isSameFile(one: string, other: string): boolean {
  const identity = (version: string) => version.split(":").slice(0, 2).join(":");
  return identity(one) === identity(other);
}
