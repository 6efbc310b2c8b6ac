/**
 * Numbers that look random and are the same in every run: mulberry32, seeded by a text.
 */
import { createHash } from "node:crypto";

/** The next number in [0, 1). */
export type Random = () => number;

export function seeded(text: string): Random {
  let state = createHash("sha256").update(text).digest().readUInt32LE(0);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** An id as containerd makes them: 64 hex digits. */
export function idOf(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
