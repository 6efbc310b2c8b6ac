/**
 * `report`: figures and docs/performance.md out of results files, without measuring anything.
 *
 * Only the part between the page's two markers is replaced; the text around it is written by people.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { repoRoot } from "../../setup/lib/paths.ts";
import { drawFigures } from "../output/figures.ts";
import { measuredPart, withMeasuredPart } from "../output/performance-page.ts";
import { newestResults, readResults } from "../output/results.ts";
import { resultsDirectory } from "./run.ts";

/** @param files one section each; none = the newest full run. Returns what was written. */
export async function report(files: readonly string[]): Promise<string[]> {
  const sources = files.length > 0 ? files : [await newestResults(resultsDirectory())];
  const runs = await Promise.all(sources.map(readResults));
  const docs = join(repoRoot(), "docs");
  const written: string[] = [];
  for (const results of runs) written.push(...(await drawFigures(results, join(docs, "figures"), ["svg"])));
  const page = join(docs, "performance.md");
  const before = await readFile(page, "utf8").catch(() => "");
  await writeFile(page, withMeasuredPart(before, measuredPart(runs)));
  return [...written, page];
}
