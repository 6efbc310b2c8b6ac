/**
 * System calls that Node does not offer, by koffi: mount(2), umount2(2), unshare(2), chdir(2), mknod(2), lseek(2),
 * sendfile(2), fallocate(2), posix_fadvise(2), sync_file_range(2), memfd_create(2), fcntl(2), madvise(2), malloc_trim(3). And open(2) and close(2): Node keeps
 * account of a thread's descriptors, and warns if it closes one that it has not opened.
 *
 * The only module that uses koffi, beside sockets.ts. For workers only, since a call blocks its thread. `unshare` changes the thread that
 * calls it: koffi's asynchronous form runs on another thread and must not be used. A call returns 0 or an errno, because
 * some errnos are no failure to its caller. {@link systemError} makes an error of an errno.
 */
import { constants } from "node:os";
import { getSystemErrorMap } from "node:util";
import koffi from "koffi";
import { BlazarError, type ErrorCode, type ErrorDetails } from "../../contracts/errors.ts";

export const MS_RDONLY = 0x1;
export const MS_NOSUID = 0x2;
export const MS_NODEV = 0x4;
export const MS_NOEXEC = 0x8;
export const MS_PRIVATE = 0x40000;

/** Seals of fcntl(2): what a sealed file forbids for as long as it exists. */
export const F_SEAL_SEAL = 0x1;
export const F_SEAL_SHRINK = 0x2;
export const F_SEAL_GROW = 0x4;
export const F_SEAL_WRITE = 0x8;

export const MNT_DETACH = 0x2;
export const UMOUNT_NOFOLLOW = 0x8;

const CLONE_FS = 0x200;
const S_IFCHR = 0x2000;
const MFD_CLOEXEC = 0x1;
const MFD_ALLOW_SEALING = 0x2;
const F_ADD_SEALS = 1033;
const FALLOC_FL_KEEP_SIZE = 0x1;
const FALLOC_FL_PUNCH_HOLE = 0x2;
const SEEK_SET = 0;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const MADV_PAGEOUT = 21;
const POSIX_FADV_DONTNEED = 4;
const SYNC_FILE_RANGE_WAIT_WRITE_WAIT = 7;
const F_DUPFD_CLOEXEC = 1030;
const O_CLOEXEC = 0o2000000;

export const { EAGAIN, EBUSY, EINVAL, ENOENT, ENOSPC, ENXIO, EOPNOTSUPP } = constants.errno;

/** The C library that this process runs with. */
export const libc = koffi.load(null);
const cMount = libc.func("int mount(str source, str target, str type, unsigned long flags, str data)");
const cUmount2 = libc.func("int umount2(str target, int flags)");
const cUnshare = libc.func("int unshare(int flags)");
const cChdir = libc.func("int chdir(str path)");
const cMknod = libc.func("int mknod(str path, unsigned int mode, unsigned long device)");
const cMemfdCreate = libc.func("int memfd_create(str name, unsigned int flags)");
const cClose = libc.func("int close(int fd)");
const cFcntl = libc.func("int fcntl(int fd, int command, int argument)");
const cLseek = libc.func("int64_t lseek(int fd, int64_t offset, int whence)");
const cSendfile = libc.func("int64_t sendfile(int out, int in, void *offset, size_t count)");
const cFallocate = libc.func("int fallocate(int fd, int mode, int64_t offset, int64_t length)");
const cMadvise = libc.func("int madvise(uintptr_t start, size_t length, int advice)");
const cSyncFileRange = libc.func(
  "int sync_file_range(int fd, int64_t offset, int64_t length, unsigned int flags)",
);
const cFadvise = libc.func("int posix_fadvise(int fd, int64_t offset, int64_t length, int advice)");
const cOpen = libc.func("int open(str path, int flags, unsigned int mode)");
/** Only glibc has it. */
const cMallocTrim = optional(() => libc.func("int malloc_trim(size_t pad)"));

function optional<T>(find: () => T): T | undefined {
  try {
    return find();
  } catch {
    return undefined;
  }
}

function errnoOf(result: number): number {
  return result === 0 ? 0 : koffi.errno();
}

/** @param data at most 4,095 bytes: the kernel cuts longer data off and says nothing */
export function mount(
  source: string,
  target: string,
  type: string | null,
  flags: number,
  data: string | null,
): number {
  return errnoOf(cMount(source, target, type, flags, data));
}

export function umount(target: string, flags: number): number {
  return errnoOf(cUmount2(target, flags | UMOUNT_NOFOLLOW));
}

let hasOwnDirectory = false;

/** Changes the working directory of this thread only. The first call separates it from the process's (CLONE_FS). */
export function changeThreadDirectory(path: string): number {
  if (!hasOwnDirectory) {
    const errno = errnoOf(cUnshare(CLONE_FS));
    if (errno !== 0) return errno;
    hasOwnDirectory = true;
  }
  return errnoOf(cChdir(path));
}

/** Makes an overlay's whiteout: a lower file of its name does not show (overlayfs.rst). */
export function makeWhiteout(path: string): number {
  return errnoOf(cMknod(path, S_IFCHR, 0));
}

/** Returns the descriptor of a file in memory that can be sealed, or a negative errno. */
export function memoryFile(name: string): number {
  return valueOr(cMemfdCreate(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
}

/** Node would warn of a descriptor that it has not opened. */
export function closeMemoryFile(fd: number): void {
  cClose(fd);
}

export function addSeals(fd: number, seals: number): number {
  return errnoOf(cFcntl(fd, F_ADD_SEALS, seals));
}

/** The next range of data at or after `offset`; undefined if there is none; a number is a negative errno. */
export function nextData(fd: number, offset: number): { start: number; end: number } | number | undefined {
  const start = valueOr(Number(cLseek(fd, offset, SEEK_DATA)));
  if (start === -ENXIO) return undefined;
  if (start < 0) return start;
  const end = valueOr(Number(cLseek(fd, start, SEEK_HOLE)));
  return end < 0 ? end : { start, end };
}

/** Copies a range of one file to the same place in another one. Returns 0 or an errno. */
export function copyRange(from: number, to: number, start: number, end: number): number {
  for (const fd of [from, to]) {
    const position = valueOr(Number(cLseek(fd, start, SEEK_SET)));
    if (position < 0) return -position;
  }
  for (let left = end - start; left > 0; ) {
    const copied = valueOr(Number(cSendfile(to, from, null, left)));
    if (copied < 0) return -copied;
    if (copied === 0) return EINVAL;
    left -= copied;
  }
  return 0;
}

/** Opens a file that exists. Returns a descriptor for {@link closeDescriptor}, or a negative errno. */
export function openFile(path: string, flags: number): number {
  return valueOr(cOpen(path, flags | O_CLOEXEC, 0));
}

/** Closes a descriptor that this module or sockets.ts has made; Node's closeSync is for those of Node's openSync. */
export function closeDescriptor(fd: number): void {
  cClose(fd);
}

/** Another descriptor of the same open file, or a negative errno. */
export function duplicate(fd: number): number {
  return valueOr(cFcntl(fd, F_DUPFD_CLOEXEC, 0));
}

/** Gives the space of a range back: it reads as zeros from now on. */
export function punchHole(fd: number, offset: number, length: number): number {
  return errnoOf(cFallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length));
}

/** Gives the first bytes of a file their space on its disk. Returns 0 or an errno. */
export function allocate(fd: number, bytes: number): number {
  return errnoOf(cFallocate(fd, 0, 0, bytes));
}

/** Keeps space on its disk for what will be written behind a new file's end. Returns 0 or an errno. */
export function reserve(fd: number, bytes: number): number {
  return errnoOf(cFallocate(fd, FALLOC_FL_KEEP_SIZE, 0, bytes));
}

/** Has the kernel write a file and drop what it keeps of it in memory, but for what is mapped. Returns 0 or an errno. */
export function dropPages(fd: number): number {
  // what is not written yet is not dropped; fsync(2) would also wait for the file system's journal, file by file
  cSyncFileRange(fd, 0, 0, SYNC_FILE_RANGE_WAIT_WRITE_WAIT);
  return cFadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

/** Has the kernel drop the pages of a mapping. Pages that are needed again are read from the file, or from swap. */
export function pageOut(start: number, length: number): number {
  return errnoOf(cMadvise(start, length, MADV_PAGEOUT));
}

/** Gives freed memory of the whole process back to the kernel, if the C library can. */
export function trimHeap(): void {
  cMallocTrim?.(0);
}

/** What a call returned, or the negative errno. */
export function valueOr(result: number): number {
  return result < 0 ? -koffi.errno() : result;
}

/** `EBUSY: resource busy or locked`. */
export function describeErrno(errno: number): string {
  const known = getSystemErrorMap().get(-errno);
  return known === undefined ? `errno ${errno}` : `${known[0]}: ${known[1]}`;
}

/** The error for a call that returned `errno`. */
export function systemError(
  code: ErrorCode,
  errno: number,
  details: Omit<ErrorDetails, "reason"> & { readonly what?: string },
): BlazarError {
  const { what, ...rest } = details;
  const reason = what === undefined ? describeErrno(errno) : `${what}: ${describeErrno(errno)}`;
  return new BlazarError(code, { ...rest, reason });
}
