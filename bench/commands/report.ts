/**
 * `report`: figures and docs/performance.md out of a results file, without measuring anything.
 *
 * The page's part between the two markers is replaced; what people have written around it stays.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { repoRoot } from "../../setup/paths.ts";
import { drawFigures } from "../output/figures.ts";
import { measuredPart, withMeasuredPart } from "../output/performance-page.ts";
import { newestResults, readResults } from "../output/results.ts";
import { resultsDirectory } from "./run.ts";

/** @param file default: the newest full run's. Returns what was written. */
export async function report(file: string | undefined): Promise<string[]> {
  const source = file ?? (await newestResults(resultsDirectory()));
  const results = await readResults(source);
  const docs = join(repoRoot(), "docs");
  const figures = await drawFigures(results, join(docs, "figures"));
  const page = join(docs, "performance.md");
  const before = await readFile(page, "utf8").catch(() => "");
  await writeFile(page, withMeasuredPart(before, measuredPart(results)));
  return [...figures, page];
}
