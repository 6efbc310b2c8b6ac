/**
 * Sizes as people write them: `256M`, `1GiB`, or a number of bytes. All units are powers of 1,024.
 */
const UNITS: Readonly<Record<string, number>> = { K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };
const SIZE = /^(\d{1,9})([KMGT]?)i?B?$/;

/** Bytes; undefined if it is no size, or more than can be counted exactly. */
export function parseSize(value: string | number): number | undefined {
  if (typeof value === "number") return Number.isSafeInteger(value) && value >= 0 ? value : undefined;
  const [, digits, unit] = SIZE.exec(value.trim()) ?? [];
  if (digits === undefined) return undefined;
  const bytes = Number(digits) * (UNITS[unit ?? ""] ?? 1);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
