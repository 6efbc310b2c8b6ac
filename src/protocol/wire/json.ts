/**
 * JSON over bytes, and the checks that both ends apply to each message.
 *
 * The text codec is injected, because QuickJS has no TextEncoder. A `Check<T>` takes an unknown value and returns it as a
 * T, or throws FrameMalformed with the path of the wrong part. It is not zod on purpose: it also runs in the guest agent,
 * whose whole engine has 1.4 MB.
 */
import { BlazarError, blazarError, reasonOf } from "../../contracts/errors.ts";
import { cutText } from "../../lib/cut-text.ts";

/** Text to UTF-8 and back; `decode` must not throw on invalid bytes. */
export interface TextCodec {
  encode(text: string): Uint8Array;
  decode(bytes: Uint8Array): string;
  /** JSON.parse of UTF-8 bytes, if the engine needs no string for it. Also throws if the UTF-8 is ill-formed. */
  parseJson?(bytes: Uint8Array): unknown;
}

/** Parses JSON from bytes. Throws FrameMalformed. */
export function parseJson(text: TextCodec, bytes: Uint8Array): unknown {
  try {
    return text.parseJson === undefined ? JSON.parse(text.decode(bytes)) : text.parseJson(bytes);
  } catch (error) {
    throw blazarError("FrameMalformed", "read a message", reasonOf(error), { cause: error });
  }
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * Returns `value` as a T, or throws FrameMalformed naming `path`. Parts that have to be changed are changed in place: a
 * copy would cost the agent more than the check.
 */
export type Check<T> = (value: unknown, path: string) => T;

function fail(path: string, expected: string): never {
  throw blazarError("FrameMalformed", "read a message", `expected ${expected}`, { subject: path });
}

/**
 * The error of a part's check, with the path of the whole in front. Parts are checked under the path "", and paths are
 * joined only when a check has failed. Most messages are right, and each path would cost the agent an allocation.
 */
function within(path: string, error: unknown): unknown {
  if (!(error instanceof BlazarError)) return error;
  const { details } = error;
  // a key is the sender's, and may be as long as a frame
  return new BlazarError(error.code, {
    ...details,
    subject: cutText(`${path}${details.subject ?? ""}`, MAX_PATH),
  });
}

const MAX_PATH = 256;
/** Longest string of a message. A hosts file or a script fits. */
const MAX_STRING = 256 * 1024;

export const string: Check<string> = (value, path) => {
  if (typeof value === "string" && value.length <= MAX_STRING) return value;
  return fail(path, `a string of at most ${MAX_STRING} characters`);
};

/** A string of so many characters at most: for what is kept. */
export function shortString(most: number): Check<string> {
  return (value, path) =>
    typeof value === "string" && value.length <= most
      ? value
      : fail(path, `a string of at most ${most} characters`);
}

export const boolean: Check<boolean> = (value, path) =>
  typeof value === "boolean" ? value : fail(path, "true or false");

/** A safe integer from `least` to `most`. */
export function integer(least = 0, most = Number.MAX_SAFE_INTEGER): Check<number> {
  return (value, path) =>
    typeof value === "number" && Number.isSafeInteger(value) && value >= least && value <= most
      ? value
      : fail(path, `an integer from ${least} to ${most}`);
}

export function oneOf<const T extends string>(...values: readonly T[]): Check<T> {
  return (value, path) => {
    const known: readonly unknown[] = values;
    return known.includes(value) ? (value as T) : fail(path, `one of ${values.join(", ")}`);
  };
}

export function array<T>(item: Check<T>, most = 65_536): Check<T[]> {
  // strings are most of a message, so they are checked without a call each
  const strings = (item as Check<unknown>) === string;
  return (value, path) => {
    if (!Array.isArray(value) || value.length > most) fail(path, `a list of at most ${most}`);
    const list = value as unknown[];
    let index = 0;
    try {
      for (; index < list.length; index++) {
        const each = list[index];
        if (strings && typeof each === "string" && each.length <= MAX_STRING) continue;
        const checked = item(each, "");
        if (checked !== each) list[index] = checked;
      }
    } catch (error) {
      throw within(`${path}[${index}]`, error);
    }
    return list as T[];
  };
}

/** Undefined or null becomes undefined. */
export function optional<T>(check: Check<T>): Check<T | undefined> {
  return (value, path) => (value === undefined || value === null ? undefined : check(value, path));
}

type Shape = Record<string, Check<unknown>>;
type Of<S extends Shape> = { [K in keyof S]: ReturnType<S[K]> };

/** An object with these fields. Other fields stay, unchecked; the type does not have them. */
export function object<S extends Shape>(shape: S): Check<Of<S>> {
  const names = Object.keys(shape);
  const checks = Object.values(shape);
  return (value, path) => {
    if (!isRecord(value)) fail(path, "an object");
    const record = value as Record<string, unknown>;
    let at = "";
    try {
      for (let index = 0; index < names.length; index++) {
        at = names[index] as string;
        const each = record[at];
        const check = checks[index] as Check<unknown>;
        if (check === string && typeof each === "string" && each.length <= MAX_STRING) continue;
        const checked = check(each, "");
        if (checked !== each) record[at] = checked;
      }
    } catch (error) {
      throw within(`${path}.${at}`, error);
    }
    return record as Of<S>;
  };
}

/** An object that is a map from any string, with so many keys at most. */
export function record<T>(item: Check<T>, most = 65_536): Check<Record<string, T>> {
  return (value, path) => {
    if (!isRecord(value)) fail(path, "an object");
    if (Object.keys(value as object).length > most) fail(path, `an object of at most ${most} keys`);
    let at = "";
    try {
      const entries = Object.entries(value as object).map(([key, each]) => {
        at = key;
        return [key, item(each, "")] as const;
      });
      // assignment would not do: a key may be "__proto__"
      return Object.fromEntries(entries);
    } catch (error) {
      throw within(`${path}.${at}`, error);
    }
  };
}
