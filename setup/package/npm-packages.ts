/**
 * npm's packages in a package of a node: files of those that cannot be bundled, and the licences of all.
 */
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { repoRoot } from "../lib/paths.ts";
import { type Entry, tree } from "./entry.ts";

interface PackageJson {
  readonly name: string;
  readonly version: string;
  readonly license?: string;
  readonly dependencies?: Readonly<Record<string, string>>;
}

/** What esbuild leaves outside (setup/lib/dist.ts), and which of its files are needed to run it. */
const EXTERNAL: Readonly<Record<string, RegExp>> = {
  koffi:
    /^(package\.json|LICENSE\.txt|(index|indirect)\.c?js|src\/koffi\/(index|indirect|src\/(static|trampolines))\.c?js)$/,
  "@koromix/koffi-linux-x64": /^(package\.json|index\.js|linux_x64\/koffi\.node)$/,
  piscina: /^(package\.json|LICENSE|dist\/.*\.m?js)$/,
};

export async function externalFiles(target: string): Promise<Entry[]> {
  const lists = Object.entries(EXTERNAL).map(([name, wanted]) =>
    tree(path.join(target, name), directoryOf(name), (file) => wanted.test(file)),
  );
  return (await Promise.all(lists)).flat();
}

/** Name, version, licence and its text of everything that package.json names for the product, and of what that needs. */
export async function bundledPackages(): Promise<string> {
  const root = JSON.parse(await readFile(path.join(repoRoot(), "package.json"), "utf8")) as PackageJson;
  const found = new Map<string, PackageJson>();
  const pending = [...Object.keys(root.dependencies ?? {}), ...Object.keys(EXTERNAL)];
  for (let name = pending.shift(); name !== undefined; name = pending.shift()) {
    if (found.has(name)) continue;
    const text = await readFile(path.join(directoryOf(name), "package.json"), "utf8").catch(() => undefined);
    // one that is nested in another's directory has the same licence there
    if (text === undefined) continue;
    const json = JSON.parse(text) as PackageJson;
    found.set(name, json);
    pending.push(...Object.keys(json.dependencies ?? {}));
  }
  const names = [...found.keys()].sort();
  const sections = await Promise.all(
    names.map(async (name) => {
      const { version = "", license = "see its text" } = found.get(name) ?? {};
      return `${name} ${version}: ${license}\n\n${await licenceText(directoryOf(name))}`;
    }),
  );
  return sections.join(`\n${"-".repeat(80)}\n\n`);
}

async function licenceText(directory: string): Promise<string> {
  const names = (await readdir(directory)).filter((name) => /^(licen[cs]e|copying)/i.test(name)).sort();
  const [first] = names;
  return first === undefined ? "" : await readFile(path.join(directory, first), "utf8");
}

function directoryOf(name: string): string {
  return path.join(repoRoot(), "node_modules", name);
}
