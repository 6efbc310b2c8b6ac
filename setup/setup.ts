/** `npm run setup`: every step of set-up, and what came of it. */
import { ensureArtifacts } from "./artifacts.ts";
import { command } from "./entry.ts";

await command(async () => {
  process.stdout.write(`${JSON.stringify(await ensureArtifacts(), null, 2)}\n`);
  return 0;
});
