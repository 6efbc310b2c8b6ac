/**
 * The few libc calls that Node does not offer: mount(2), umount2(2), unshare(2), chdir(2),
 * mknod(2), memfd_create(2) and its seals, madvise(2), malloc_trim(3), by koffi.
 *
 * The only user of koffi, and for workers only: a call blocks its thread, and `unshare` changes the thread that
 * makes it, so koffi's asynchronous form (which runs on another thread) must not be used. Every call returns
 * 0 or an errno, because callers treat some errnos as success; {@link systemError} makes an error of the rest.
 */
import { constants } from "node:os";
import { getSystemErrorMap } from "node:util";
import koffi from "koffi";
import { BlazarError, type ErrorCode, type ErrorDetails } from "../contracts/errors.ts";

export const MS_RDONLY = 0x1;
export const MS_NOSUID = 0x2;
export const MS_NODEV = 0x4;
export const MS_NOEXEC = 0x8;
export const MS_PRIVATE = 0x40000;

/** fcntl(2): what sealed memory forbids, for ever. */
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
const SEEK_SET = 0;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const MADV_PAGEOUT = 21;

export const { EBUSY, EINVAL, ENOENT, ENXIO } = constants.errno;

const libc = koffi.load(null);
const cMount = libc.func("int mount(str source, str target, str type, unsigned long flags, str data)");
const cUmount2 = libc.func("int umount2(str target, int flags)");
const cUnshare = libc.func("int unshare(int flags)");
const cChdir = libc.func("int chdir(str path)");
const cMknod = libc.func("int mknod(str path, unsigned int mode, unsigned long device)");
const cMemfdCreate = libc.func("int memfd_create(str name, unsigned int flags)");
const cFcntl = libc.func("int fcntl(int fd, int command, int argument)");
const cLseek = libc.func("int64_t lseek(int fd, int64_t offset, int whence)");
const cSendfile = libc.func("int64_t sendfile(int out, int in, void *offset, size_t count)");
const cMadvise = libc.func("int madvise(uintptr_t start, size_t length, int advice)");
/** glibc's alone. */
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

/** @param data at most 4,095 bytes: the kernel cuts longer data off in silence */
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

/** Changes the working directory of this thread alone; the first call takes the thread out of the process's. */
export function changeThreadDirectory(path: string): number {
  if (!hasOwnDirectory) {
    const errno = errnoOf(cUnshare(CLONE_FS));
    if (errno !== 0) return errno;
    hasOwnDirectory = true;
  }
  return errnoOf(cChdir(path));
}

/** Makes an overlay's whiteout: what it is called does not show in the merged directory. */
export function makeWhiteout(path: string): number {
  return errnoOf(cMknod(path, S_IFCHR, 0));
}

/** A file in memory that can be sealed; its descriptor belongs to the whole process. Negative: an errno. */
export function memoryFile(name: string): number {
  return valueOr(cMemfdCreate(name, MFD_CLOEXEC | MFD_ALLOW_SEALING));
}

export function addSeals(fd: number, seals: number): number {
  return errnoOf(cFcntl(fd, F_ADD_SEALS, seals));
}

/** Where the next data at or after `offset` begins, and where they end. Undefined behind the last; negative: an errno. */
export function nextData(fd: number, offset: number): { start: number; end: number } | number | undefined {
  const start = valueOr(Number(cLseek(fd, offset, SEEK_DATA)));
  if (start === -ENXIO) return undefined;
  if (start < 0) return start;
  const end = valueOr(Number(cLseek(fd, start, SEEK_HOLE)));
  return end < 0 ? end : { start, end };
}

/** Copies bytes from one file to the same place of another one. Returns 0 or an errno. */
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

/** Has the kernel drop the pages of a mapping; what is needed again comes from its file, or from swap. */
export function pageOut(start: number, length: number): number {
  return errnoOf(cMadvise(start, length, MADV_PAGEOUT));
}

/** Returns freed memory of the whole process, where the C library can. */
export function trimHeap(): void {
  cMallocTrim?.(0);
}

function valueOr(result: number): number {
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
