import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { generatedPages } from "../support/docs/pages.ts";

describe("generated pages", () => {
  it.each(Object.entries(generatedPages()))("%s is what `npm run generate` writes", async (file, content) => {
    expect(await readFile(file, "utf8")).toBe(content);
  });
});
