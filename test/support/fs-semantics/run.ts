/**
 * Builds the file-semantics program (test/support/fs-semantics), makes the files that it works on, and compares its
 * reports.
 *
 * The program runs as `fs-semantics DIRECTORY IMAGE-DIRECTORY` in a container whose image has {@link imageFiles} as a
 * layer. docs/storage.md shows the table of the comparison.
 */
import { execFile } from "node:child_process";
import { chmod, link, mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { TarFile } from "../../../lab/images/tar-writer.ts";

/** One line of its output. */
export interface CheckResult {
  readonly name: string;
  readonly ok: boolean;
  /** Why not, for an operator to read. */
  readonly why?: string;
}

const SOURCES = fileURLToPath(new URL(".", import.meta.url));

/** Where {@link imageFiles} are in an image. */
export const IMAGE_DIRECTORY = "/fs-image";

/** Compiles it, static, so that it runs in any container. Returns the binary's path. */
export async function buildFsSemantics(directory: string): Promise<string> {
  const sources = (await readdir(SOURCES)).filter((name) => name.endsWith(".c"));
  const binary = path.join(directory, "fs-semantics");
  const flags = ["-std=gnu11", "-static", "-O1", "-Wall", "-Wextra", "-Werror"];
  await promisify(execFile)("musl-gcc", [
    ...flags,
    "-o",
    binary,
    ...sources.map((name) => path.join(SOURCES, name)),
  ]);
  return binary;
}

const TEXT = "from the image\n";
const DIRECTORIES = ["", "tree", "tree/inner", "moving"];
const FILES = [
  ...Array.from({ length: 7 }, (_, index) => `file-${index + 1}`),
  "link-a",
  "tree/inner/file",
  "moving/file",
];

/** What the `image` checks need to find in a layer of the image. */
export function imageFiles(): TarFile[] {
  const inImage = (name: string): string => path.posix.join(IMAGE_DIRECTORY.slice(1), name);
  return [
    ...DIRECTORIES.map((name) => ({ path: inImage(name), type: "directory" as const })),
    ...FILES.map((name) => ({ path: inImage(name), content: TEXT, mode: 0o640 })),
    { path: inImage("link-b"), type: "hardlink", target: inImage("link-a"), mode: 0o640 },
    { path: inImage("symlink"), type: "symlink", target: "file-1" },
  ];
}

/** The same on the host, in a directory that is there. */
export async function writeImageFiles(directory: string): Promise<void> {
  for (const name of DIRECTORIES) await mkdir(path.join(directory, name), { recursive: true });
  for (const name of FILES) {
    await writeFile(path.join(directory, name), TEXT);
    await chmod(path.join(directory, name), 0o640);
  }
  await link(path.join(directory, "link-a"), path.join(directory, "link-b"));
  await symlink("file-1", path.join(directory, "symlink"));
}

/** Reads its output. Throws on a line that is not one of its own: something went wrong in the program itself. */
export function parseChecks(output: string): CheckResult[] {
  const lines = output.split("\n").filter((line) => line.trim() !== "");
  return lines.map((line) => {
    const { name, ok, why } = JSON.parse(line) as CheckResult;
    if (typeof name !== "string" || typeof ok !== "boolean") throw new Error(`not a check's result: ${line}`);
    return why === undefined ? { name, ok } : { name, ok, why };
  });
}

/** Checks that do not end alike everywhere, as rows of a table; and the whole as Markdown. */
export function compareChecks(results: Readonly<Record<string, readonly CheckResult[]>>): {
  readonly differing: readonly string[];
  readonly markdown: string;
} {
  const places = Object.keys(results);
  const names = [...new Set(Object.values(results).flatMap((checks) => checks.map(({ name }) => name)))];
  const outcome = (place: string, name: string): string => {
    const check = results[place]?.find((each) => each.name === name);
    if (check === undefined) return "not run";
    return check.ok ? "yes" : `no: ${(check.why ?? "").replaceAll("|", "\\|")}`;
  };
  const isDifferent = (name: string): boolean =>
    new Set(places.map((place) => outcome(place, name).slice(0, 2))).size > 1;
  const row = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const counts = places.map((place) => {
    const checks = results[place] ?? [];
    return `${checks.filter(({ ok }) => ok).length} of ${checks.length}`;
  });
  const shown = names.filter((name) => places.some((place) => outcome(place, name) !== "yes"));
  const markdown = [
    row(["check", ...places]),
    row(["---", ...places.map(() => "---")]),
    row(["**hold**", ...counts]),
    ...shown.map((name) => row([`\`${name}\``, ...places.map((place) => outcome(place, name))])),
  ].join("\n");
  return { differing: names.filter(isDifferent), markdown: `${markdown}\n` };
}
