/**
 * Values of options, read from the command line.
 */
import { misuse } from "../contracts/misuse.ts";
import { parseSize } from "../lib/sizes.ts";

/** Throws InvalidArgument. */
export function countOption(name: string, given: string | undefined, fallback: number): number {
  if (given === undefined) return fallback;
  if (/^\d{1,9}$/.test(given)) return Number(given);
  const about = {
    subject: `${name} ${given}`,
    remedy: "write a whole number of nine digits at most, such as 100",
  };
  throw misuse("it is no count", about);
}

/** Bytes, such as 64K. Throws InvalidArgument. */
export function sizeOption(name: string, given: string | undefined, fallback: number): number {
  if (given === undefined) return fallback;
  const bytes = parseSize(given);
  if (bytes !== undefined) return bytes;
  const about = { subject: `${name} ${given}`, remedy: "write 64K or 1M" };
  throw misuse("it is no size", about);
}
