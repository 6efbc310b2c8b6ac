/**
 * Turns results of `sys` into values or errors: `-errno` becomes a {@link BlazarError} that says what was being done, and
 * to what. Its cause keeps the errno.
 *
 * Names and texts of errors are those of errno(3) and strerror(3).
 */
import * as std from "std";
import * as sys from "sys";
import { type BlazarError, blazarError, type ErrorCode } from "../../src/contracts/errors.ts";

/** The cause of an error that the kernel reported. */
export class SystemError extends Error {
  override readonly name = "SystemError";
  /** The error number, positive. */
  readonly errno: number;
  /** Its name, such as `"ENOENT"`. */
  readonly code: string;

  constructor(errno: number) {
    super(reasonOfErrno(errno));
    this.errno = errno;
    this.code = nameOfErrno(errno);
  }
}

/** Returns a result ≥ 0. Throws a BlazarError if the result is -errno, with a code that fits the errno, or `Internal`. */
export function check(result: number, operation: string, subject?: string): number {
  if (result >= 0) return result;
  throw failure(result, codeOf(-result), operation, subject);
}

/** The same for functions that return a value or -errno. */
export function checkValue<T>(result: T | number, operation: string, subject?: string): Exclude<T, number> {
  if (typeof result === "number") throw failure(result, codeOf(-result), operation, subject);
  return result as Exclude<T, number>;
}

/** The error for a result below 0, with the caller's code. */
export function failure(result: number, code: ErrorCode, operation: string, subject?: string): BlazarError {
  const cause = new SystemError(-result);
  return blazarError(code, operation, cause.message, { subject, cause });
}

/** The errno among an error's causes, if the kernel reported it. */
export function errnoOf(error: unknown): number | undefined {
  for (let each = error; each instanceof Error; each = each.cause) {
    if (each instanceof SystemError) return each.errno;
  }
  return undefined;
}

/** strerror(3) with the errno's name: `"No such file or directory (ENOENT)"`. */
export function reasonOfErrno(errno: number): string {
  return `${std.strerror(errno)} (${nameOfErrno(errno)})`;
}

/** The errno's name, or the number as text if `sys` has no name for it. */
export function nameOfErrno(errno: number): string {
  return sys.errnoName(errno) ?? String(errno);
}

function codeOf(errno: number): ErrorCode {
  switch (errno) {
    case sys.EPERM:
    case sys.EACCES:
      return "PermissionDenied";
    case sys.ENOMEM:
    case sys.ENOSPC:
    case sys.EMFILE:
    case sys.ENFILE:
    case sys.EAGAIN:
      return "ResourceExhausted";
    case sys.EPIPE:
    case sys.ECONNRESET:
    case sys.ENOTCONN:
      return "LinkClosed";
    default:
      return "Internal";
  }
}
