/**
 * What a configuration key can hold: how a value is checked and converted, and what its type is called in the docs.
 *
 * Sizes are written as `256M` or as a number of bytes, times in milliseconds.
 */
import * as z from "zod/mini";
import { parseSize } from "../../lib/sizes.ts";
import { loopbackAddress } from "../../lib/sockets/loopback.ts";

/** One key of a section. `Value` is what the daemon gets. */
export interface ConfigKey<Value = unknown> {
  /** Checks and converts what TOML gave. */
  readonly schema: z.ZodMiniType<Value>;
  /** As it would be written in the file; undefined: found at run time, as `doc` says. */
  readonly fallback: string | number | boolean | undefined;
  /** The type in an operator's words. */
  readonly type: string;
  readonly doc: string;
}

export const LONGEST_MS = 3_600_000;

const absolutePath = z
  .string()
  .check(z.refine((value) => value.startsWith("/") && !value.includes("\0"), "must be an absolute path"));
const isSize = z.refine<string | number>(
  (value) => parseSize(value) !== undefined,
  'must be a size such as "256M" or a number of bytes',
);
const sizeInBytes = z.pipe(
  z.union([z.string(), z.number()]).check(isSize),
  z.transform((value) => parseSize(value) ?? 0),
);

export function path(fallback: string, doc: string): ConfigKey<string> {
  return { schema: absolutePath, type: "absolute path", fallback, doc };
}

/** A path whose default is found at run time. */
export function foundPath(doc: string): ConfigKey<string | undefined> {
  return { schema: absolutePath, type: "absolute path", fallback: undefined, doc };
}

export function program(fallback: string, doc: string): ConfigKey<string> {
  return { schema: z.string().check(z.minLength(1)), type: "program name or path", fallback, doc };
}

export function yesNo(fallback: boolean, doc: string): ConfigKey<boolean> {
  return { schema: z.boolean(), type: "boolean", fallback, doc };
}

/** A size of at least so many bytes; the daemon gets bytes. */
export function size(fallback: string, doc: string, least = 0): ConfigKey<number> {
  const enough = z.refine<number>((bytes) => bytes >= least, `must be at least ${least / 2 ** 20}M`);
  const type = least === 0 ? "size" : `size, at least \`"${least / 2 ** 20}M"\``;
  return { schema: sizeInBytes.check(enough), type, fallback, doc };
}

/** A size whose default is found at run time. */
export function foundSize(doc: string, least: number): ConfigKey<number | undefined> {
  return { ...size("0", doc, least), fallback: undefined };
}

export function milliseconds(fallback: number, doc: string): ConfigKey<number> {
  const schema = wholeNumber(1, LONGEST_MS);
  return { schema, type: "milliseconds", fallback, doc };
}

/** A whole number between two others. */
export function count(least: number, most: number, fallback: number, doc: string): ConfigKey<number> {
  return { schema: wholeNumber(least, most), type: `integer, ${least} to ${most}`, fallback, doc };
}

/** A whole number between two others, whose default is found at run time. */
export function foundCount(least: number, most: number, doc: string): ConfigKey<number | undefined> {
  return { ...count(least, most, least, doc), fallback: undefined };
}

export function percent(fallback: number, doc: string): ConfigKey<number> {
  return { schema: wholeNumber(1, 100), type: "percent", fallback, doc };
}

/** An address and port of the loopback; undefined: nothing listens. */
export function loopbackPort(doc: string): ConfigKey<string | undefined> {
  const loopback = z.refine<string>(
    (value) => loopbackAddress(value) !== undefined,
    'must be an address of the loopback and a port, such as "127.0.0.1:9477"',
  );
  return {
    schema: z.string().check(loopback),
    type: "address:port of the loopback",
    fallback: undefined,
    doc,
  };
}

/** An http or https URL without a name or password in it; undefined: there is none. */
export function webAddress(doc: string): ConfigKey<string | undefined> {
  const plain = z.refine<string>((value) => {
    const url = URL.canParse(value) ? new URL(value) : undefined;
    return url !== undefined && /^https?:$/.test(url.protocol) && url.username === "" && url.password === "";
  }, 'must be a URL such as "http://127.0.0.1:4318", without a password');
  return { schema: z.string().check(plain), type: "http or https URL", fallback: undefined, doc };
}

/** One of some words. */
export function word<const Words extends readonly [string, ...string[]]>(
  words: Words,
  fallback: Words[number],
  doc: string,
): ConfigKey<Words[number]> {
  const quoted = words.map((each) => `\`${each}\``);
  const type = [quoted.slice(0, -1).join(", "), quoted.at(-1)].filter((part) => part !== "").join(" or ");
  return { schema: z.enum(words), type, fallback, doc };
}

function wholeNumber(least: number, most: number) {
  const range = `must be a whole number from ${least} to ${most}`;
  return z.number(range).check(z.refine((n) => Number.isInteger(n) && n >= least && n <= most, range));
}
