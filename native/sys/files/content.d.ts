/**
 * Whole files in one call, /proc and cgroups among them (content.c).
 */

declare module "sys" {
  /** The whole file as text; ill-formed UTF-8 becomes U+FFFD. More than `max` bytes are -EFBIG. Works on /proc. */
  export function readFile(path: string, max: number): string | Failure;
  /** The same as bytes. */
  export function readFileBytes(path: string, max: number): ArrayBuffer | Failure;
  /** Writes a file. `flags` are those of open(2), by default O_WRONLY|O_CREAT|O_TRUNC; /proc and cgroups need O_WRONLY. */
  export function writeFile(path: string, text: string, flags?: number, mode?: number): Result;
}
