/**
 * From the results of `sys` to values or errors: `-errno` becomes a {@link BlazarError} that says what was
 * being done and to what, with the errno kept as its cause.
 *
 * Names and texts of errors are errno(3)'s and strerror(3)'s.
 */
import * as std from "std";
import * as sys from "sys";
import { type BlazarError, blazarError, type ErrorCode } from "../../src/contracts/errors.ts";

/** The cause of an error that the kernel reported. */
export class SystemError extends Error {
  override readonly name = "SystemError";
  /** Positive. */
  readonly errno: number;
  /** `"ENOENT"`. */
  readonly code: string;

  constructor(errno: number) {
    super(reasonOfErrno(errno));
    this.errno = errno;
    this.code = nameOfErrno(errno);
  }
}

/** Passes a result ≥ 0 on; throws a BlazarError (`Internal`, or what the errno says by itself) if it is -errno. */
export function check(result: number, operation: string, subject?: string): number {
  if (result >= 0) return result;
  throw failure(result, codeOf(-result), operation, subject);
}

/** The same for functions that answer with a value or with -errno. */
export function checkValue<T>(result: T | number, operation: string, subject?: string): Exclude<T, number> {
  if (typeof result === "number") throw failure(result, codeOf(-result), operation, subject);
  return result as Exclude<T, number>;
}

/** The error of a result below 0, under the code that the caller finds right. */
export function failure(result: number, code: ErrorCode, operation: string, subject?: string): BlazarError {
  const cause = new SystemError(-result);
  return blazarError(code, operation, cause.message, { subject, cause });
}

/** The errno behind an error, if the kernel was its origin. */
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

/** `"ENOENT"`, or the number as text for those that `sys` does not name. */
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
