/**
 * Output for programs: JSON and YAML, with field names and units of contracts/inspection.ts.
 *
 * Both are harmless on a terminal as well: JSON escapes what a terminal might obey in its own way, and stays the same data. YAML
 * has no escapes that all readers know, so its texts are made harmless first.
 */
import { stringify } from "yaml";
import { misuse } from "../contracts/misuse.ts";
import { harmlessData } from "../lib/harmless.ts";

/** What `-o` takes. */
export type OutputFormat = "table" | "wide" | "json" | "yaml";

/** Reads `-o`. Throws InvalidArgument. */
export function outputFormat<Format extends string>(
  given: string | undefined,
  formats: readonly Format[],
  fallback: Format,
): Format {
  if (given === undefined) return fallback;
  const format = formats.find((each) => each === given);
  if (format !== undefined) return format;
  const about = { subject: `-o ${given}`, remedy: `there are ${formats.join(", ")}` };
  throw misuse("there is no such format", about);
}

export function structured(value: unknown, format: "json" | "yaml"): string {
  return format === "json" ? `${json(value, 2)}\n` : stringify(harmlessData(value));
}

/** One value a line, for a stream. */
export function structuredLine(value: unknown, format: "json" | "yaml"): string {
  return format === "json" ? `${json(value)}\n` : `---\n${stringify(harmlessData(value))}`;
}

/** JSON.stringify leaves most of these as they are; in a JSON text they are only found within strings. */
const LEFT = /(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

function json(value: unknown, indent?: number): string {
  const escaped = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return JSON.stringify(value, undefined, indent).replace(LEFT, (found) =>
    found.split("").map(escaped).join(""),
  );
}
