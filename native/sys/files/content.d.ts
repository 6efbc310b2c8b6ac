/**
 * Whole files in one call, /proc and cgroups among them (content.c).
 */

declare module "sys" {
  /** The whole file as text (invalid UTF-8 becomes U+FFFD), at most `max` bytes: longer is -EFBIG. Works on /proc. */
  export function readFile(path: string, max: number): string | Failure;
  /** The whole file as bytes, with the same limit. */
  export function readFileBytes(path: string, max: number): ArrayBuffer | Failure;
  /** Opens with `flags` (default O_WRONLY|O_CREAT|O_TRUNC), writes all of `text`, closes. For /proc and cgroups pass O_WRONLY. */
  export function writeFile(path: string, text: string, flags?: number, mode?: number): Result;
}
