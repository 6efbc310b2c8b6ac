/**
 * Files as a file server reads them: by the descriptor of a directory and one name (served.c).
 *
 * A name is bytes, in a string whose characters are below 256. Nothing here follows a symlink, and no name has a slash or
 * is "..": so nothing leads out of a directory. "." is the directory itself.
 */

declare module "sys" {
  /** The name that these bytes are; -ENAMETOOLONG beyond 255 bytes, -EINVAL if one of them is 0 or a slash. */
  export function bytesToName(buffer: ArrayBuffer, offset: number, length: number): string | Failure;
  /** openat(2) with O_NOFOLLOW; `flags` may hold `O_PATH`. */
  export function openEntry(directory: number, name: string, flags: number, mode?: number): Descriptor;
  /** Opens a descriptor's own file once more, by /proc/self/fd: also without a name, also from `O_PATH` to access. */
  export function reopen(fd: number, flags: number): Descriptor;
  /**
   * statx(2) of a descriptor: device, inode, mount id (64 bits each), FUSE's fuse_attr (88 bytes), time of birth (64 bits
   * of seconds, 32 of nanoseconds, 32 unused): 128 bytes.
   */
  export function statEntry(fd: number, buffer: ArrayBuffer, offset: number, length: number): Result;
  /** The same of a name below a directory. */
  export function statName(
    directory: number,
    name: string,
    buffer: ArrayBuffer,
    offset: number,
    length: number,
  ): Result;
  /** readlinkat(2) of a symlink's own descriptor: how many bytes there are. */
  export function readLinkEntry(fd: number, buffer: ArrayBuffer, offset: number, length: number): Result;
  /** fstatfs(2) as FUSE's fuse_kstatfs: 80 bytes. */
  export function statfsEntry(fd: number, buffer: ArrayBuffer, offset: number, length: number): Result;
  /** Whether the mount that a descriptor is in is read-only (fstatfs(2)): 1 or 0. */
  export function isMountReadonly(fd: number): Result;
  /**
   * getdents64(2) from a position of 64 bits on, as records of FUSE_READDIR, whose inodes have `prefix` as their upper 16
   * bits. With `plus`, as records of FUSE_READDIRPLUS with an empty fuse_entry_out, and for each one `facts` gets what
   * `statEntry` gives; all 0 for "." and "..". The result is the length; 0 is the end.
   */
  export function listEntries(
    fd: number,
    positionLow: number,
    positionHigh: number,
    prefix: number,
    plus: boolean,
    buffer: ArrayBuffer,
    offset: number,
    length: number,
    facts: ArrayBuffer,
    factsOffset: number,
    factsLength: number,
  ): Result;
}
