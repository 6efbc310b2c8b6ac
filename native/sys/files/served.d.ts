/**
 * Files as a file server needs them: by the descriptor of a directory and one name (served.c).
 *
 * A name is bytes, in a string whose characters are below 256. Nothing here follows a symlink, and no name has a slash or
 * is "..": so nothing leads out of a directory. "." is the directory itself.
 */

declare module "sys" {
  /** The name that these bytes are; -ENAMETOOLONG beyond 255 bytes, -EINVAL if one of them is 0 or a slash. */
  export function bytesToName(buffer: ArrayBuffer, offset: number, length: number): string | Failure;
  /** openat(2) with O_NOFOLLOW; `flags` may hold `O_PATH`. */
  export function openEntry(directory: number, name: string, flags: number): Descriptor;
  /**
   * statx(2) of a descriptor, little-endian: device, inode, mount id (64 bits each), then what 9P2000.L's Rgetattr has from
   * mode to btime. 140 bytes.
   */
  export function statEntry(fd: number, buffer: ArrayBuffer, offset: number, length: number): Result;
  /** readlinkat(2) of a symlink's own descriptor: how many bytes there are. */
  export function readLinkEntry(fd: number, buffer: ArrayBuffer, offset: number, length: number): Result;
  /** fstatfs(2) as the body of 9P2000.L's Rstatfs: 60 bytes. */
  export function statfsEntry(fd: number, buffer: ArrayBuffer, offset: number, length: number): Result;
  /**
   * getdents64(2) from a position of 64 bits on, as records of Rreaddir whose qids have no version and no path yet. For each one
   * `facts` gets device, inode and mount id, 64 bits each; all 0 for "..". The result is [bytes, records]; 0 is the end.
   */
  export function listEntries(
    fd: number,
    positionLow: number,
    positionHigh: number,
    buffer: ArrayBuffer,
    offset: number,
    length: number,
    facts: ArrayBuffer,
    factsOffset: number,
    factsLength: number,
  ): [bytes: number, records: number] | Failure;
  /**
   * lgetxattr(2), or llistxattr(2) if `attribute` is "": the size. With a length of 0 nothing is written. It changes the
   * working directory of this process.
   */
  export function getEntryXattr(
    directory: number,
    name: string,
    attribute: string,
    buffer: ArrayBuffer,
    offset: number,
    length: number,
  ): Result;
}
