/**
 * Open files and other descriptors: open(2), read(2), write(2), dup(2), pipe(2), fcntl(2), … (descriptors.c).
 *
 * Every descriptor made here is close-on-exec, unless its function says otherwise.
 */

declare module "sys" {
  /** open(2); O_CLOEXEC is added unless `flags` holds `O_INHERIT`. */
  export function open(path: string, flags: number, mode?: number): Descriptor;
  /** openat2(2) with `RESOLVE_*`: the safe way into a tree that a hostile guest or image has written. */
  export function openat2(
    directory: number,
    path: string,
    flags: number,
    mode: number,
    resolve: number,
  ): Descriptor;
  /** close(2). */
  export function close(fd: number): Result;
  /** close_range(2): `flags` may be `CLOSE_RANGE_CLOEXEC`. */
  export function closeRange(first: number, last: number, flags: number): Result;
  /** read(2) into `buffer[offset, offset + length)`; 0 is the end. EINTR is retried. */
  export function read(fd: number, buffer: ArrayBuffer, offset: number, length: number): Result;
  /**
   * The same again and again, until the room is full, nothing is there or the end has come. If something was read, what the last
   * read(2) has said comes with the next call.
   */
  export function readAvailable(fd: number, buffer: ArrayBuffer, offset: number, length: number): Result;
  /** write(2) from `buffer[offset, offset + length)`; may be short. EINTR is retried. */
  export function write(fd: number, buffer: ArrayBuffer, offset: number, length: number): Result;
  /** pread(2). */
  export function pread(
    fd: number,
    buffer: ArrayBuffer,
    offset: number,
    length: number,
    position: number,
  ): Result;
  /** pwrite(2). */
  export function pwrite(
    fd: number,
    buffer: ArrayBuffer,
    offset: number,
    length: number,
    position: number,
  ): Result;
  /** lseek(2): the new position, or -errno. `whence`: 0 set, 1 current, 2 end, 3 data, 4 hole. */
  export function lseek(fd: number, offset: number, whence: number): Result;
  /** fchmod(2). */
  export function fchmod(fd: number, mode: number): Result;
  /** fchown(2). */
  export function fchown(fd: number, uid: number, gid: number): Result;
  /** ftruncate(2). */
  export function ftruncate(fd: number, length: number): Result;
  /** fallocate(2). */
  export function fallocate(fd: number, mode: number, offset: number, length: number): Result;
  /** fsync(2). */
  export function fsync(fd: number): Result;
  /** sync(2). */
  export function sync(): Result;
  /** syncfs(2) of the file system that holds `fd`. */
  export function syncfs(fd: number): Result;
  /** fchdir(2). */
  export function fchdir(fd: number): Result;
  /** sendfile(2) of up to `length` bytes at the files' own positions: the bytes copied. */
  export function sendfile(outFd: number, inFd: number, length: number): Result;
  /** copy_file_range(2) at the files' own positions: the bytes copied. */
  export function copyFileRange(inFd: number, outFd: number, length: number): Result;
  /** memfd_create(2); flags `MFD_ALLOW_SEALING`. */
  export function memfdCreate(name: string, flags: number): Descriptor;
  /** Turns close-on-exec on or off: fcntl(2) F_SETFD. */
  export function setCloexec(fd: number, on: boolean): Result;
  /** Turns O_NONBLOCK on or off: fcntl(2) F_SETFL. The flag belongs to the open file, so dup and clone share it. */
  export function setNonblock(fd: number, on: boolean): Result;
  /** fcntl(2) with an `F_*` of constants.d.ts, all of which take an integer; others throw. */
  export function fcntl(fd: number, command: number, argument: number): Result;
  /** flock(2): `LOCK_EX | LOCK_NB`, … */
  export function flock(fd: number, operation: number): Result;
  /** dup(2), but close-on-exec. */
  export function dup(fd: number): Descriptor;
  /** dup2(2), for a child that places its stdio: `to` is *not* close-on-exec, even if the numbers are equal. */
  export function dup2(from: number, to: number): Descriptor;
  /** dup3(2) with O_CLOEXEC or 0. */
  export function dup3(from: number, to: number, flags: number): Descriptor;
  /** pipe2(2): [read end, write end]. O_CLOEXEC is added unless `flags` holds `O_INHERIT`. */
  export function pipe2(flags: number): [number, number] | Failure;
  /** FIONREAD: bytes waiting in a pipe, FIFO or socket. */
  export function pendingBytes(fd: number): Result;
}
