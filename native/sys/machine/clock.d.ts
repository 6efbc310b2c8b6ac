/**
 * Clock and entropy: clock_settime(2), getrandom(2), random(4) (clock.c).
 */

declare module "sys" {
  /** clock_settime(2) of CLOCK_REALTIME. */
  export function setClock(seconds: number, nanoseconds: number): Result;
  /** getrandom(2). */
  export function getrandom(buffer: ArrayBuffer, offset: number, length: number): Result;
  /** RNDADDENTROPY on an open /dev/random: bytes with so many bits of entropy, at most 8 bits a byte. */
  export function addEntropy(
    fd: number,
    buffer: ArrayBuffer,
    offset: number,
    length: number,
    bits: number,
  ): Result;
  /** RNDRESEEDCRNG on an open /dev/random. Without it, a clone of a template repeats the template's numbers. */
  export function reseed(fd: number): Result;
}
