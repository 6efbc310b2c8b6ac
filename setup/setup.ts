/** `npm run setup`: every step of set-up, and what came of it. */

import { command } from "./lib/entry.ts";
import { ensureArtifacts } from "./steps/artifacts.ts";

await command(async () => {
  process.stdout.write(`${JSON.stringify(await ensureArtifacts(), null, 2)}\n`);
  return 0;
});
