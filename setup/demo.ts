/** `npm run demo [-- --json]`: sets up and bundles what is missing, then runs the lab's demo on the bundle. */
import { demo } from "../lab/demo/demo.ts";
import { programFile } from "./lib/dist.ts";
import { command } from "./lib/entry.ts";
import { prepareProduct } from "./lib/product.ts";

await command(async () => {
  await prepareProduct();
  return demo({ program: programFile(), json: process.argv.includes("--json") });
});
