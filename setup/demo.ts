/** `npm run demo`: sets up whatever is missing and runs the demo (src/cli). */
import { command } from "./entry.ts";
import { runProduct } from "./product.ts";

await command(async () => {
  await runProduct(["demo", ...process.argv.slice(2)]);
  return Number(process.exitCode ?? 0);
});
