/**
 * `npm run test:soak [-- --pods N] [--execs M]`: nothing of daemon and keeper grows with the pods and execs that they serve.
 */
import { parseArgs } from "node:util";
import { soak } from "../lab/soak/soak.ts";
import { programFile } from "./lib/dist.ts";
import { command } from "./lib/entry.ts";
import { prepareProduct } from "./lib/product.ts";

await command(async () => {
  const options = {
    pods: { type: "string", default: "1000" },
    execs: { type: "string", default: "10000" },
  } as const;
  const { values } = parseArgs({ options });
  await prepareProduct();
  return soak({ program: programFile(), pods: Number(values.pods), execs: Number(values.execs) });
});
