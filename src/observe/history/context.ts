/**
 * What is shown of a chart's context: the fields that are named here, and no other.
 *
 * An allow-list, because a field that is added later may hold anything; no secret and no value of an environment variable is
 * among these. Texts are made harmless, as a guest may have chosen them.
 */
import type { ChartName } from "../../contracts/inspection.ts";
import { boundedText } from "./bounded-text.ts";

const FIELDS: Readonly<Record<ChartName, readonly string[]>> = {
  sandbox: ["pid", "failure", "leftovers", "removing", "guestAlive"],
  boot: ["pid", "origin", "fallbacks", "failure"],
  container: ["failure"],
  process: ["status", "failure"],
};
const FAILURE_FIELDS = ["code", "operation", "subject", "reason", "remedy"];
const MOST_ITEMS = 16;

type Plain = Readonly<Record<string, unknown>>;

/** Plain data of at most some kilobytes. Fields that are undefined are absent. */
export function contextOf(chart: ChartName, context: unknown): Plain {
  return picked(context, FIELDS[chart]);
}

function picked(value: unknown, fields: readonly string[]): Plain {
  const shown: Record<string, unknown> = {};
  for (const field of fields) {
    const found = (value as Plain)[field];
    if (found !== undefined) shown[field] = plain(found);
  }
  return shown;
}

function plain(value: unknown): unknown {
  if (typeof value === "string") return boundedText(value);
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.slice(0, MOST_ITEMS).map(plain);
  // a failure, or a fallback with its failure
  return picked(value, ["from", "failure", ...FAILURE_FIELDS]);
}
