/**
 * The guest's wall clock and random pool: clock_settime(2), random(4).
 *
 * A clone of a template wakes with the template's clock and pool, so both are set anew for each pod.
 */
import * as sys from "sys";
import { check } from "../../../native/runtime/check.ts";
import { withFile } from "../../../native/runtime/files.ts";
import { encode } from "../../../native/runtime/text-codec.ts";

/** Moves the wall clock by so many milliseconds; returns the time that it shows then. */
export function adjustClock(by: number): number {
  if (by !== 0) setClock(Date.now() + by);
  return Date.now();
}

export function setClock(now: number): void {
  check(sys.setClock(Math.floor(now / 1000), (now % 1000) * 1_000_000), "set the clock");
}

/**
 * Credits the host's entropy and reseeds the random pool: a clone wakes with the pool of its template. The hex digits go
 * in undecoded, four bits each, because the pool hashes whatever it gets.
 */
export function addEntropy(hex: string): void {
  const text = encode(hex);
  const bits = 4 * text.length;
  withFile("/dev/random", sys.O_RDWR, (fd) => {
    if (bits > 0) check(sys.addEntropy(fd, text.buffer, 0, text.length, bits), "add entropy");
    check(sys.reseed(fd), "reseed the random pool");
  });
}
