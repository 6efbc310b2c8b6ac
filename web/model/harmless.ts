/**
 * Strings that may come from a guest, cut to what the page has room for; see src/lib/harmless.ts.
 */
import { harmless as shownWhole } from "../../src/lib/harmless.ts";

/** Characters of a name or a sentence that are shown. */
const MOST = 400;

/** For one line: at most `most` characters, each of which can be seen. */
export function harmless(text: string, most = MOST): string {
  return shownWhole(text, { most });
}

/** For a log: lines as they are, without the escape sequences that colour a terminal. */
export function harmlessLine(line: string, most = 2_000): string {
  return harmless(line.replace(COLOUR, ""), most);
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: SGR of ECMA-48, which a log is full of
const COLOUR = /\u001b\[[0-9;]{0,32}m/g;
