/**
 * The `sys` module: Linux system calls for TypeScript on QuickJS, written in C.
 *
 * Each C file below native/sys/ has its declarations beside it, in a `.d.ts` file of the same name; here is what
 * they share. A result ≥ 0 is success, a negative one is -errno (see native/runtime/check.ts). A function throws a
 * TypeError or RangeError for an argument of the wrong type or out of range, but never because the kernel refused.
 *
 * Strings must be strings without NUL; integers must be integers; `buffer, offset, length` must lie inside the
 * buffer. Flags are 32 bits and may be written with JavaScript's signed operators (`1 << 31`). Functions have the
 * names of their man pages.
 */

declare module "sys" {
  /** ≥ 0 on success, else -errno. */
  export type Result = number;
  /** A new file descriptor, or -errno. */
  export type Descriptor = number;
  /** -errno: always negative. */
  export type Failure = number;
}
