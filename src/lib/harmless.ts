/**
 * Makes a text from outside harmless to look at, on a terminal and on the page: what a guest has said may not move a cursor, turn
 * the text around, hide or forge a line.
 *
 * Escaped are control characters of ASCII and of Latin-1 (ECMA-48: each of these begins a sequence), marks that turn the
 * direction of writing, characters that show nothing or mean nothing, and halves of surrogate pairs. The result has one line,
 * unless lines are kept. Markup is the page's business: it makes text nodes only. Pure; runs in a browser.
 */

/** Texts are cut after so many characters, unless told otherwise. */
const SHOWN = 1024;

/** Unicode's control and format characters, separators of lines and paragraphs, private and unassigned ones, and surrogates. */
const HARMFUL = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}\p{Cs}]/gu;

export interface Harmless {
  /** Newlines and tabs stay. */
  readonly lines?: boolean;
  /** Characters that are shown at most. */
  readonly most?: number;
}

/** The text with everything escaped that a terminal might obey: `\x1b[2J`, `\u202e`. */
export function harmless(text: string, { lines = false, most = SHOWN }: Harmless = {}): string {
  const cut = firstOf(text, most);
  const kept = lines ? cut.replaceAll("\r\n", "\n") : cut;
  const shown = kept.replace(HARMFUL, (found) =>
    lines && (found === "\n" || found === "\t") ? found : escaped(found),
  );
  return cut.length < text.length ? `${shown}… (${text.length - cut.length} more characters)` : shown;
}

/** Never cuts a character in two. */
function firstOf(text: string, most: number): string {
  if (text.length <= most) return text;
  const last = text.charCodeAt(most - 1);
  return text.slice(0, last >= 0xd800 && last <= 0xdbff ? most - 1 : most);
}

/** The same of all strings in plain data, keys included. */
export function harmlessData(value: unknown): unknown {
  const all = { most: Number.POSITIVE_INFINITY };
  if (typeof value === "string") return harmless(value, all);
  if (Array.isArray(value)) return value.map(harmlessData);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [harmless(key, all), harmlessData(each)]),
  );
}

/**
 * A line of JSON that means the same, with everything escaped that a terminal might obey: for logs, which people look at as they are.
 * JSON.stringify escapes ASCII's control characters only.
 */
export function harmlessJson(line: string): string {
  return PLAIN_LINE.test(line)
    ? line
    : line.replace(HARMFUL, (found) => (found === "\n" ? found : units(found)));
}

const PLAIN_LINE = /^[\x20-\x7e]*\n?$/;

/** As JSON escapes: one for each half of a surrogate pair. */
function units(found: string): string {
  return Array.from({ length: found.length }, (_, index) => {
    return `\\u${found.charCodeAt(index).toString(16).padStart(4, "0")}`;
  }).join("");
}

function escaped(found: string): string {
  if (found === "\n") return "\\n";
  if (found === "\r") return "\\r";
  if (found === "\t") return "\\t";
  const code = found.codePointAt(0) ?? 0;
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, "0")}`;
  return code < 0x1_0000 ? `\\u${code.toString(16).padStart(4, "0")}` : `\\u{${code.toString(16)}}`;
}
