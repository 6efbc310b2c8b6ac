/**
 * Clock and entropy: clock_settime(2), getrandom(2), random(4) (clock.c).
 */

declare module "sys" {
  /** clock_settime(2) of CLOCK_REALTIME. */
  export function setClock(seconds: number, nanoseconds: number): Result;
  /** getrandom(2). */
  export function getrandom(buffer: ArrayBuffer, offset: number, length: number): Result;
  /** RNDADDENTROPY on an open /dev/random: bytes that hold so many bits of entropy, at most 8 each. */
  export function addEntropy(
    fd: number,
    buffer: ArrayBuffer,
    offset: number,
    length: number,
    bits: number,
  ): Result;
  /** RNDRESEEDCRNG on an open /dev/random: needed after a clone, or it repeats its template's numbers. */
  export function reseed(fd: number): Result;
}
