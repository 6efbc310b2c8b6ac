/**
 * Names and metadata of files: mkdir(2), unlink(2), stat(2), readdir(3), xattr(7), statfs(2), … (paths.c).
 *
 * What goes through an open descriptor is in descriptors.d.ts.
 */

declare module "sys" {
  /** mkdir(2). */
  export function mkdir(path: string, mode: number): Result;
  /** rmdir(2). */
  export function rmdir(path: string): Result;
  /** unlink(2). */
  export function unlink(path: string): Result;
  /** symlink(2): `path` will point to `target`. */
  export function symlink(target: string, path: string): Result;
  /** link(2), not following a symlink `existing`. */
  export function link(existing: string, path: string): Result;
  /** rename(2). */
  export function rename(from: string, to: string): Result;
  /** readlink(2). */
  export function readlink(path: string): string | Failure;
  /** mknod(2) with type and permissions in `mode`; the umask applies. */
  export function mknod(path: string, mode: number, major: number, minor: number): Result;
  /** mkfifo(3); the umask applies. */
  export function mkfifo(path: string, mode: number): Result;
  /** chmod(2). */
  export function chmod(path: string, mode: number): Result;
  /** lchown(2); 0xffffffff leaves an id as it is. */
  export function lchown(path: string, uid: number, gid: number): Result;
  /** utimensat(2), times in whole or fractional milliseconds since the epoch, symlinks not followed. */
  export function lutimes(path: string, accessMs: number, modifyMs: number): Result;
  /** What stat(2) tells. */
  export interface Stat {
    /** Type and permissions. */
    readonly mode: number;
    readonly size: number;
    /** Encoded device number: equal or not, nothing more. */
    readonly dev: number;
    /** 64 bits: overlayfs uses the upper ones. */
    readonly ino: bigint;
    readonly nlink: number;
    readonly uid: number;
    readonly gid: number;
    readonly rdevMajor: number;
    readonly rdevMinor: number;
    /** 512-byte blocks really allocated. */
    readonly blocks: number;
    /** Milliseconds since the epoch. */
    readonly mtimeMs: number;
  }
  /** stat(2). */
  export function stat(path: string): Stat | Failure;
  /** lstat(2). */
  export function lstat(path: string): Stat | Failure;
  /** fstat(2). */
  export function fstat(fd: number): Stat | Failure;
  /** access(2): 0 exists, 1 execute, 2 write, 4 read; by the effective ids. */
  export function access(path: string, mode: number): Result;
  /** The names in a directory, without "." and "..", unsorted. */
  export function readdir(path: string): string[] | Failure;
  /** chdir(2). */
  export function chdir(path: string): Result;
  /** getcwd(3). */
  export function getcwd(): string | Failure;
  /** umask(2): the old mask. */
  export function umask(mask: number): number;
  /** lsetxattr(2). */
  export function lsetxattr(path: string, name: string, value: ArrayBuffer, flags: number): Result;
  /** lgetxattr(2). */
  export function lgetxattr(path: string, name: string): ArrayBuffer | Failure;
  /** llistxattr(2): how many bytes the names take, 0 = it has none. */
  export function llistxattr(path: string): Result;
  /** What statfs(2) tells, in blocks of `blockSize` bytes. */
  export interface StatFs {
    /** Magic number: 0xef53 ext4, 0x01021994 tmpfs, 0x65735546 FUSE, 0x63677270 cgroup2, … */
    readonly type: number;
    readonly blockSize: number;
    readonly blocks: number;
    readonly blocksFree: number;
    readonly blocksAvailable: number;
    readonly files: number;
    readonly filesFree: number;
  }
  /** statfs(2). */
  export function statfs(path: string): StatFs | Failure;
}
