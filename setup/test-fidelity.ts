/**
 * `npm run test:fidelity [-- TEXT]`: sets up and bundles what is missing, then compares blazar with runc, case by case.
 * With a text, only the cases that have it in their name.
 */
import { testFidelity } from "../lab/fidelity/fidelity.ts";
import { programFile } from "./lib/dist.ts";
import { command } from "./lib/entry.ts";
import { prepareProduct } from "./lib/product.ts";

await command(async () => {
  await prepareProduct();
  return testFidelity({ program: programFile(), only: process.argv.slice(2).join(" ") });
});
