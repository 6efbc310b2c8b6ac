/**
 * Files as a file server changes them (changed.c), and their locks (locked.c).
 *
 * Names are as in served.d.ts. A descriptor may be of `O_PATH`: its own file is meant, whatever its name is by now. That
 * needs a /proc.
 */

declare module "sys" {
  /** mkdirat(2) or mknodat(2) by the type in `mode`; -EPERM for a device. The umask applies. */
  export function makeEntry(directory: number, name: string, mode: number): Result;
  /** symlinkat(2); the target is bytes. */
  export function symlinkEntry(
    directory: number,
    name: string,
    buffer: ArrayBuffer,
    offset: number,
    length: number,
  ): Result;
  /** linkat(2) of a descriptor's file. */
  export function linkEntry(fd: number, directory: number, name: string): Result;
  /** unlinkat(2). */
  export function unlinkEntry(directory: number, name: string, isDirectory: boolean): Result;
  /** renameat2(2). */
  export function renameEntry(from: number, name: string, to: number, newName: string, flags: number): Result;
  /** chmod(2). */
  export function chmodEntry(fd: number, mode: number): Result;
  /** fchownat(2); 0xffffffff leaves an id as it is. */
  export function chownEntry(fd: number, uid: number, gid: number): Result;
  /** truncate(2). */
  export function truncateEntry(fd: number, length: number): Result;
  /** utimensat(2) with the times of a struct fuse_setattr_in. */
  export function setTimesEntry(fd: number, buffer: ArrayBuffer, offset: number, length: number): Result;
  /** getxattr(2): the size. With a length of 0 nothing is written. */
  export function getEntryXattr(
    fd: number,
    name: string,
    buffer: ArrayBuffer,
    offset: number,
    length: number,
  ): Result;
  /** listxattr(2): the size. With a length of 0 nothing is written. */
  export function listEntryXattrs(fd: number, buffer: ArrayBuffer, offset: number, length: number): Result;
  /** setxattr(2); `flags`: 1 create, 2 replace. */
  export function setEntryXattr(
    fd: number,
    name: string,
    buffer: ArrayBuffer,
    offset: number,
    length: number,
    flags: number,
  ): Result;
  /** removexattr(2). */
  export function removeEntryXattr(fd: number, name: string): Result;
  /** pwrite(2), or a write to the end whatever the position is (RWF_APPEND); may be short. */
  export function writeContent(
    fd: number,
    buffer: ArrayBuffer,
    offset: number,
    length: number,
    position: number,
    append: boolean,
  ): Result;
  /** Takes setuid and setgid from an open file, as a write by somebody without CAP_FSETID does. */
  export function dropPrivilegesOf(fd: number): Result;
  /** copy_file_range(2): the bytes copied. */
  export function copyRange(
    from: number,
    position: number,
    to: number,
    target: number,
    length: number,
  ): Result;
  /** fdatasync(2). */
  export function fdatasync(fd: number): Result;
  /**
   * fcntl(2) with a struct fuse_file_lock (24 bytes): 0 F_OFD_GETLK, which writes its answer there, 1 F_OFD_SETLK,
   * 2 F_OFD_SETLKW.
   */
  export function recordLock(
    fd: number,
    command: number,
    buffer: ArrayBuffer,
    offset: number,
    length: number,
  ): Result;
}
