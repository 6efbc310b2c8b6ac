/** `npm run demo`: sets up and bundles what is missing, then shows a pod on a private containerd (lab/demo.ts). */
import { demo } from "../lab/demo.ts";
import { command } from "./lib/entry.ts";
import { prepareProduct } from "./lib/product.ts";

await command(async () => {
  await prepareProduct();
  return demo({ json: process.argv.includes("--json") });
});
