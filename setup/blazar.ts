/** `npm run blazar -- ARGS`: the product from this checkout, set up and bundled first. */
import { command } from "./lib/entry.ts";
import { runProduct } from "./lib/product.ts";

await command(async () => {
  await runProduct(process.argv.slice(2));
  return Number(process.exitCode ?? 0);
});
