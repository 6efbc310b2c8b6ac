/**
 * `npm run test:model [-- --runs N]`: the model test alone, with any number of histories and no time limit.
 *
 * Needs the npm packages and nothing else of set-up. The exit code is vitest's own.
 */
import { passThrough } from "./lib/command.ts";
import { command } from "./lib/entry.ts";
import { MODEL_RUNS_VARIABLE, readModelRuns } from "./lib/model-runs.ts";
import { nodeBin, repoRoot } from "./lib/paths.ts";

await command(async () => {
  const runs = readModelRuns(process.argv.slice(2));
  const variables = runs === undefined ? {} : { [MODEL_RUNS_VARIABLE]: String(runs) };
  const args = [nodeBin("vitest"), "run", "--project", "model"];
  return await passThrough(process.execPath, args, {
    cwd: repoRoot(),
    env: { ...process.env, ...variables },
  });
});
