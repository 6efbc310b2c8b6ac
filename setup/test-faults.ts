/**
 * `npm run test:faults [-- VITEST ARGS]`: what docs/specification.md promises for when things go wrong, on real daemons.
 *
 * Stops, starves and kills a private node's own processes and nothing else. Needs root. The exit code is vitest's own.
 */
import { passThrough } from "./lib/command.ts";
import { command } from "./lib/entry.ts";
import { nodeBin, repoRoot } from "./lib/paths.ts";
import { prepareProduct } from "./lib/product.ts";

await command(async () => {
  await prepareProduct();
  const args = [nodeBin("vitest"), "run", "--project", "faults", ...process.argv.slice(2)];
  return await passThrough(process.execPath, args, {
    cwd: repoRoot(),
    env: { ...process.env, BLAZAR_FAULTS: "1" },
  });
});
