/**
 * Copying between two descriptors for as long as they last (pump.c).
 */

declare module "sys" {
  /** Copies bytes from one blocking descriptor to another, and blocks until the first has ended (0) or one has failed. */
  export function pump(from: number, to: number): Result;
}
