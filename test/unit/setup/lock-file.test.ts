/**
 * The lock file is complete: `npm ci` refuses one without an entry for each optional package, and npm leaves
 * out those that the registry at hand does not have (a mirror often lacks other platforms' binaries).
 */
import { readFile } from "node:fs/promises";
import path from "node:path";
import { expect, test } from "vitest";
import { repoRoot } from "../../../setup/lib/paths.ts";

interface Lock {
  readonly packages: Readonly<
    Record<string, { readonly optionalDependencies?: Readonly<Record<string, string>> }>
  >;
}

test("every optional package is in the lock file", async () => {
  const text = await readFile(path.join(repoRoot(), "package-lock.json"), "utf8");
  const { packages } = JSON.parse(text) as Lock;
  const missing = Object.values(packages)
    .flatMap((entry) => Object.keys(entry.optionalDependencies ?? {}))
    .filter((name) => !Object.keys(packages).some((key) => key.endsWith(`node_modules/${name}`)));
  expect(missing, "add entries with version, os and cpu, or npm ci fails on a fresh clone").toEqual([]);
});

test("no registry's host is in the lock file", async () => {
  expect(await readFile(path.join(repoRoot(), "package-lock.json"), "utf8")).not.toContain('"resolved"');
});
