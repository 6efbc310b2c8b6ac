/** `npm run build`: bundles the product into dist/. Needs no set-up but the npm packages. */
import { buildDist } from "./dist.ts";
import { command } from "./entry.ts";
import { streamProgress } from "./progress.ts";

await command(async () => {
  await buildDist(streamProgress());
  return 0;
});
