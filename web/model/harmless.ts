/**
 * Makes strings that may come from a guest harmless to look at: cut, and with what cannot be seen made visible.
 *
 * The page shows text as text nodes only, so markup is never read. What is left are characters that hide or turn around
 * others: controls, bidirectional overrides, zero-width ones. Pure.
 */

/** Characters of a name or a sentence that are shown. */
const MOST = 400;

const DELETE = 0x7f;
const CONTROL_PICTURES = 0x2400;
const DELETE_PICTURE = "\u2421";
const NEW_LINE = 0x0a;

/** Format characters, among them all that set direction; line and paragraph separators; unassigned and private ones; halves. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}\p{Cs}]/gu;

/** For one line: at most `most` characters, each of which can be seen. */
export function harmless(text: string, most = MOST): string {
  const cut = firstOf(text, most);
  const shown = cut.replace(UNSEEN, visible);
  const left = text.length - cut.length;
  return left > 0 ? `${shown}… (${left} more)` : shown;
}

/** For a log: lines as they are, without the escape sequences that colour a terminal. */
export function harmlessLine(line: string, most = 2_000): string {
  return harmless(line.replace(COLOUR, ""), most);
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: SGR of ECMA-48, which a log is full of
const COLOUR = /\u001b\[[0-9;]{0,32}m/g;

function visible(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (code === NEW_LINE) return "⏎";
  if (code < 0x20) return String.fromCodePoint(CONTROL_PICTURES + code);
  if (code === DELETE) return DELETE_PICTURE;
  return `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
}

/** Never cuts a character in two. */
function firstOf(text: string, most: number): string {
  if (text.length <= most) return text;
  const last = text.charCodeAt(most - 1);
  return text.slice(0, last >= 0xd800 && last <= 0xdbff ? most - 1 : most);
}
