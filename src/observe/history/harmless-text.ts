/**
 * Makes a text of unknown origin harmless, where it enters a history: cut to one kilobyte, and without anything that steers.
 *
 * A guest chooses the texts of its errors. Control characters (ESC among them), line ends, marks of writing direction and lone
 * surrogates are shown as escapes. What a medium gives a meaning of its own, such as HTML, is that medium's business.
 */
export const MOST_TEXT_BYTES = 1024;

const PLAIN = /^[\x20-\x7e]*$/;
const STEERING = /[\p{Cc}\p{Cs}\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]/gu;
const CUT = "…";

export function harmless(text: string): string {
  if (text.length <= MOST_TEXT_BYTES && PLAIN.test(text)) return text;
  // a megabyte is not searched
  const safe = text.slice(0, MOST_TEXT_BYTES).replace(STEERING, escaped);
  const whole = text.length <= MOST_TEXT_BYTES;
  if (whole && byteLength(safe) <= MOST_TEXT_BYTES) return safe;
  return `${cutTo(safe, MOST_TEXT_BYTES - byteLength(CUT))}${CUT}`;
}

function escaped(character: string): string {
  if (character === "\n") return "\\n";
  if (character === "\t") return "\\t";
  if (character === "\r") return "\\r";
  const code = character.codePointAt(0) ?? 0;
  return code < 0x100
    ? `\\x${code.toString(16).padStart(2, "0")}`
    : `\\u${code.toString(16).padStart(4, "0")}`;
}

function cutTo(text: string, bytes: number): string {
  const kept = new Uint8Array(bytes);
  const { read } = new TextEncoder().encodeInto(text, kept);
  return text.slice(0, read);
}

function byteLength(text: string): number {
  return new TextEncoder().encode(text).length;
}
