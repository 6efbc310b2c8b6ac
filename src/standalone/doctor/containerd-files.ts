/**
 * containerd's configuration: the named file, and the files that it imports (containerd-config.toml(5)).
 *
 * containerd merges them table by table, a later file over an earlier one. Settings of CRI in a file of an older version than
 * the newest of them are lost (tried with 2.1.9), so the versions are told.
 */
import { basename, dirname, join, resolve } from "node:path";
import { parse } from "smol-toml";
import { reasonOf } from "../../contracts/errors.ts";
import type { HostView } from "./check.ts";

/** One file. */
export interface ContainerdFile {
  readonly path: string;
  /** 1 if the file names none. */
  readonly version: number;
  readonly tables: Readonly<Record<string, unknown>>;
  /** Absolute patterns. */
  readonly imports: readonly string[];
}

/** Where a main file of this path should import from: {@link importPattern} covers it. */
export function dropInFile(main: string): string {
  return join(dirname(main), "conf.d", "blazar.toml");
}

export function importPattern(main: string): string {
  return join(dirname(main), "conf.d", "*.toml");
}

/**
 * The main file first, then what is imported.
 * @returns or a sentence that says what is wrong
 */
export async function containerdFiles(
  host: Pick<HostView, "read" | "names">,
  main: string,
): Promise<readonly ContainerdFile[] | string> {
  const found = new Map<string, ContainerdFile>();
  const pending = [main];
  for (let path = pending.shift(); path !== undefined; path = pending.shift()) {
    if (found.has(path)) continue;
    const text = await host.read(path);
    if (text === undefined) return `${path} cannot be read`;
    try {
      const file = fileOf(path, parse(text));
      found.set(path, file);
      for (const pattern of file.imports) pending.push(...(await matching(host, pattern)));
    } catch (error) {
      return `${path} is not TOML: ${reasonOf(error).split("\n")[0]}`;
    }
  }
  return [...found.values()];
}

/** Whether one of these files imports a file of this path. */
export function imports(files: readonly ContainerdFile[], path: string): boolean {
  return files.some((file) => file.imports.some((pattern) => matchesPattern(path, pattern)));
}

function fileOf(path: string, tables: Readonly<Record<string, unknown>>): ContainerdFile {
  const { version, imports: named } = tables;
  const patterns = Array.isArray(named) ? named.filter((each) => typeof each === "string") : [];
  return {
    path,
    version: typeof version === "number" ? version : 1,
    tables,
    imports: patterns.map((each) => resolve(dirname(path), each)),
  };
}

/** In the order of their names. Only the last part of a path may have wildcards. */
async function matching(host: Pick<HostView, "names">, pattern: string): Promise<string[]> {
  if (!/[*?[]/.test(pattern)) return [pattern];
  const directory = dirname(pattern);
  const paths = ((await host.names(directory)) ?? []).map((name) => join(directory, name));
  return paths.filter((path) => matchesPattern(path, pattern)).sort();
}

/** Of filepath.Match in Go: `*` and `?`. */
function matchesPattern(path: string, pattern: string): boolean {
  if (dirname(path) !== dirname(pattern)) return false;
  const parts = basename(pattern).split(/([*?])/);
  const expression = parts.map((part) => (part === "*" ? "[^/]*" : part === "?" ? "[^/]" : literal(part)));
  return new RegExp(`^${expression.join("")}$`).test(basename(path));
}

function literal(text: string): string {
  return text.replace(/[\\^$.|+()[\]{}]/g, "\\$&");
}

export function at(value: unknown, path: readonly string[]): unknown {
  return path.reduce<unknown>((inner, key) => asTable(inner)[key], value);
}

export function asTable(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}
