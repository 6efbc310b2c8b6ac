/** Generated pages and pictures are current, and nothing that the docs name is missing. */
import { access, readdir, readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { CHARTS, generatedPages, PICTURE_NAMES } from "../support/docs/pages.ts";

/** The pages that people write, and that describe the code as it is. A decision (ADR) describes its day. */
async function pages(): Promise<string[]> {
  const docs = (await readdir("docs")).filter((name) => name.endsWith(".md"));
  return ["README.md", "bench/README.md", ...docs.map((name) => `docs/${name}`)];
}

describe("generated pages", () => {
  it.each(Object.entries(generatedPages()))("%s is what `npm run generate` writes", async (file, content) => {
    expect(await readFile(file, "utf8")).toBe(content);
  });

  it("every chart of src/machines is drawn", async () => {
    const machines = (await readdir("src/machines")).filter((name) => name.endsWith(".machine.ts"));
    expect(CHARTS.map(({ file }) => file).sort()).toEqual(machines.sort());
  });

  it("every picture's source is drawn", async () => {
    const sources = (await readdir("docs/pictures")).filter((name) => name.endsWith(".json"));
    expect(PICTURE_NAMES.map((name) => `${name}.json`).sort()).toEqual(sources.sort());
  });
});

describe("written pages", () => {
  /** What stands in backquotes and begins with a folder of the repository. A path with `*` or `<name>` is a pattern. */
  const PATH = /`((?:src|test|guest|keeper|native|lab|setup|bench|deploy|docs|proto)\/[\w./-]+)`/g;
  const LINK = /\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)/g;

  it("the files that they name exist", async () => {
    const missing: string[] = [];
    for (const page of await pages()) {
      const text = await readFile(page, "utf8");
      const named = [...text.matchAll(PATH)].map(([, path = ""]) => path);
      const linked = [...text.matchAll(LINK)].map(([, path = ""]) => join(dirname(page), path));
      for (const path of new Set([...named, ...linked]))
        await access(path).catch(() => missing.push(`${page}: ${path}`));
    }
    expect(missing).toEqual([]);
  });

  it("every term of the glossary has two sentences, in the order of the alphabet", async () => {
    const rows = [...(await readFile("docs/glossary.md", "utf8")).matchAll(/^\| \*\*(.+)\*\* \| (.+) \|$/gm)];
    const terms = rows.map(([, term = ""]) => term);
    const sorted = [...terms].sort((a, b) => a.localeCompare(b, "en", { sensitivity: "base" }));
    expect(terms.length).toBeGreaterThan(50);
    expect(terms).toEqual(sorted);
    for (const [, term, meaning = ""] of rows)
      expect(meaning.match(/[.?!](?=\s|$)/g), `the meaning of ${term}`).toHaveLength(2);
  });

  it("no change takes more than four files", async () => {
    const rows = (await readFile("docs/changing.md", "utf8"))
      .split("\n")
      .filter((row) => row.startsWith("| **"));
    expect(rows.length).toBeGreaterThanOrEqual(12);
    for (const row of rows) {
      const files = row.match(/`(?:src|test|guest|setup|keeper|native)\/[^`]+`/g) ?? [];
      expect(files.length, row).toBeGreaterThan(0);
      expect(files.length, row).toBeLessThanOrEqual(4);
    }
  });
});
