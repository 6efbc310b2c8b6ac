/**
 * `npm test [-- VITEST ARGS]`: set-up, bundle, every test, and a closing line with the counts.
 *
 * The counts come from vitest's JSON report, the exit code from vitest. A run without a report counts as one failure:
 * it must never look like a green one.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { passThrough } from "./lib/command.ts";
import { buildDist } from "./lib/dist.ts";
import { command } from "./lib/entry.ts";
import { nodeBin, repoRoot } from "./lib/paths.ts";
import { streamProgress } from "./lib/progress.ts";
import { type Counts, closingLine, countResults } from "./lib/test-report.ts";
import { ensureArtifacts } from "./steps/artifacts.ts";

async function runVitest(args: readonly string[], report: string): Promise<number> {
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const [node, vitest] = [process.execPath, nodeBin("vitest")];
  return await passThrough(node, [vitest, "run", ...reporters, ...args], { cwd: repoRoot() });
}

await command(async () => {
  const progress = streamProgress();
  const { cache } = await ensureArtifacts(progress);
  await buildDist(progress);
  process.env["BLAZAR_CACHE"] = cache;
  const directory = await mkdtemp(path.join(tmpdir(), "blazar-test-report-"));
  try {
    const report = path.join(directory, "report.json");
    const status = await runVitest(process.argv.slice(2), report);
    const text = await readFile(report, "utf8").catch(() => undefined);
    const counts: Counts = countResults(text, status);
    process.stdout.write(`\n${closingLine(counts)}\n`);
    return status;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
});
