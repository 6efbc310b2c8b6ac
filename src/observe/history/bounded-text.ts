/**
 * Makes a text of unknown origin harmless where it enters a history, and cuts it to one kilobyte.
 *
 * A guest chooses the texts of its errors. What a medium gives a meaning of its own, such as HTML, is that medium's business.
 */
import { cutText, ownText } from "../../lib/cut-text.ts";
import { harmless } from "../../lib/harmless.ts";

export const MOST_TEXT_BYTES = 1024;

const PLAIN = /^[\x20-\x7e]*$/;
const CUT = "…";

export function boundedText(text: string): string {
  if (text.length <= MOST_TEXT_BYTES && PLAIN.test(text)) return text;
  // a megabyte is not searched
  const safe = harmless(cutText(text, MOST_TEXT_BYTES), { most: Number.POSITIVE_INFINITY });
  const bytes = new TextEncoder().encode(safe).length;
  if (text.length <= MOST_TEXT_BYTES && bytes <= MOST_TEXT_BYTES) return safe;
  const kept = new Uint8Array(MOST_TEXT_BYTES - new TextEncoder().encode(CUT).length);
  const { read } = new TextEncoder().encodeInto(safe, kept);
  return ownText(`${safe.slice(0, read)}${CUT}`);
}
