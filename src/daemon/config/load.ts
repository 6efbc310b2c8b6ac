/**
 * Reads the configuration file: TOML, checked key by key against schema.ts.
 *
 * An error names the file, the key as the operator wrote it and what is wrong with it. For an unknown key it names the
 * nearest one that exists. A missing file is an error only if it was named.
 */
import { readFile } from "node:fs/promises";
import { totalmem } from "node:os";
import { parse, TomlError } from "smol-toml";
import * as z from "zod/mini";
import { BlazarError, blazarError, reasonOf } from "../../contracts/errors.ts";
import { packageConfig } from "../parts/manifest.ts";
import { CONFIG_SCHEMA, type Config } from "./schema.ts";
import { type ConfiguredHost, nonsenseOf } from "./sense.ts";
import type { ConfigKey } from "./values.ts";

const OPERATION = "read the configuration";
const SECTIONS: Readonly<Record<string, Readonly<Record<string, ConfigKey>>>> = CONFIG_SCHEMA;

/** Reads `named`; without a name, a package's own file; without that, all defaults hold. Throws InvalidConfig. */
export async function loadConfig(named: string | undefined): Promise<Config> {
  const file = named ?? packageConfig();
  if (file === undefined) return parseConfig("", "(defaults)");
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    throw BlazarError.wrap(error, "InvalidConfig", { operation: OPERATION, subject: file });
  }
  return parseConfig(text, file);
}

/** Checks the text of a configuration file; `file` is for messages. Throws InvalidConfig. */
export function parseConfig(
  text: string,
  file: string,
  host: ConfiguredHost = { memoryBytes: totalmem() },
): Config {
  const given = parseToml(text, file);
  for (const name of Object.keys(given))
    if (!Object.hasOwn(SECTIONS, name))
      throw unknown(file, `[${name}]`, nearest(name, Object.keys(SECTIONS)));
  const sections = Object.entries(SECTIONS).map(([name, keys]) => [
    name,
    readSection(given[name], name, keys, file),
  ]);
  const config = Object.fromEntries(sections) as unknown as Config;
  const nonsense = nonsenseOf(config, host);
  if (nonsense !== undefined) throw invalid(file, nonsense);
  return config;
}

function parseToml(text: string, file: string): Record<string, unknown> {
  try {
    return parse(text);
  } catch (error) {
    const line = error instanceof TomlError ? ` at line ${error.line}, column ${error.column}` : "";
    throw invalid(file, `it is not TOML${line}: ${reasonOf(error).split("\n")[0]}`);
  }
}

function readSection(
  value: unknown,
  section: string,
  keys: Readonly<Record<string, ConfigKey>>,
  file: string,
): Record<string, unknown> {
  if (value !== undefined && (typeof value !== "object" || value === null || Array.isArray(value))) {
    throw invalid(file, `${section} must be a table: [${section}]`);
  }
  const given = (value ?? {}) as Record<string, unknown>;
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(keys, name))
      throw unknown(file, `${section}.${name}`, nearest(name, Object.keys(keys)));
  }
  return Object.fromEntries(
    Object.entries(keys).map(([name, key]) => [name, readKey(given[name], `${section}.${name}`, key, file)]),
  );
}

function readKey(value: unknown, name: string, key: ConfigKey, file: string): unknown {
  const used = value ?? key.fallback;
  if (used === undefined) return undefined;
  const result = z.safeParse(key.schema, used);
  if (result.success) return result.data;
  const shown = JSON.stringify(value)?.slice(0, 80);
  // a check of ours says what must be; zod's own message says nothing
  const problem = result.error.issues[0]?.message ?? "";
  throw invalid(
    file,
    `${name} = ${shown}: it ${problem.startsWith("must") ? problem : `must be ${key.type}`}`,
  );
}

/** The known name that takes the fewest edits to reach, if they are few enough for a slip of the pen. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const [best] = known
    .map((each) => ({ each, distance: editDistance(name, each) }))
    .sort((a, b) => a.distance - b.distance);
  return best !== undefined && best.distance <= Math.max(2, Math.floor(name.length / 2))
    ? best.each
    : undefined;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitute = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitute, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

function unknown(file: string, name: string, near: string | undefined): BlazarError {
  return invalid(file, `there is no ${name}${near === undefined ? "" : `; did you mean ${near}?`}`);
}

function invalid(file: string, reason: string): BlazarError {
  return blazarError("InvalidConfig", OPERATION, reason, {
    subject: file,
    remedy: "see docs/configuration.md",
  });
}
