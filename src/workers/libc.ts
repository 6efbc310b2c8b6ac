/**
 * The few libc calls that Node does not offer: mount(2), umount2(2), unshare(2), chdir(2),
 * mknod(2), by koffi.
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

export const MNT_DETACH = 0x2;
export const UMOUNT_NOFOLLOW = 0x8;

const CLONE_FS = 0x200;
const S_IFCHR = 0x2000;

export const { EBUSY, EINVAL, ENOENT } = constants.errno;

const libc = koffi.load(null);
const cMount = libc.func("int mount(str source, str target, str type, unsigned long flags, str data)");
const cUmount2 = libc.func("int umount2(str target, int flags)");
const cUnshare = libc.func("int unshare(int flags)");
const cChdir = libc.func("int chdir(str path)");
const cMknod = libc.func("int mknod(str path, unsigned int mode, unsigned long device)");

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
