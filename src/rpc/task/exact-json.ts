/**
 * JSON whose integers keep all of their digits: JSON.parse rounds those beyond 2^53, and Go's specs have some of 64 bits.
 */

/** A string, or a number; all that can have digits in JSON (RFC 8259). */
const TOKENS = /"(?:[^"\\]|\\.)*"|-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/g;

/** As JSON.parse, but integers that a number would round come as strings of their digits. */
export function parseExactly(text: string): unknown {
  const quoted = text.replace(TOKENS, (token) =>
    /^-?[0-9]{16,}$/.test(token) && !Number.isSafeInteger(Number(token)) ? `"${token}"` : token,
  );
  return JSON.parse(quoted);
}
