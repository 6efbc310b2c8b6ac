/** `npm run demo [-- --json | --ui]`: sets up and bundles what is missing, then runs the lab's demo on the bundle. */
import { demo } from "../lab/demo/demo.ts";
import { blazarError } from "../src/contracts/errors.ts";
import { programFile } from "./lib/dist.ts";
import { command } from "./lib/entry.ts";
import { prepareProduct } from "./lib/product.ts";

const OPTIONS = ["--json", "--ui"];

await command(async () => {
  const [unknown] = process.argv.slice(2).filter((argument) => !OPTIONS.includes(argument));
  if (unknown !== undefined) {
    const about = { subject: unknown, remedy: "for example: npm run demo -- --json" };
    throw blazarError(
      "InvalidArgument",
      "read the arguments of demo",
      "only --json and --ui are understood",
      about,
    );
  }
  await prepareProduct();
  return demo({
    program: programFile(),
    json: process.argv.includes("--json"),
    ui: process.argv.includes("--ui"),
  });
});
