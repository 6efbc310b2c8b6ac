/** `npm run build`: bundles the product into dist/. Needs no set-up but the npm packages. */
import { buildDist } from "./lib/dist.ts";
import { command } from "./lib/entry.ts";
import { streamProgress } from "./lib/progress.ts";

await command(async () => {
  await buildDist(streamProgress());
  return 0;
});
