/**
 * `npm run test:security [-- TEXT]`: attacks on a real node, which hold if nobody gets anything; with a text, those with it in
 * their line. The exit code is 0 only if none has succeeded.
 */
import { attackNode } from "../lab/security/security.ts";
import { programFile } from "./lib/dist.ts";
import { command } from "./lib/entry.ts";
import { needRoot } from "./lib/own-namespaces.ts";
import { prepareProduct } from "./lib/product.ts";

await command(async () => {
  needRoot("test:security");
  await prepareProduct();
  const [text = ""] = process.argv.slice(2);
  return attackNode({ program: programFile(), text, out: process.stdout });
});
