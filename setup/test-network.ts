/**
 * `npm run test:network [-- --handler runc|blazar] [TEXT]`: pods on CNI's networks and on the host's, under runc and blazar.
 */
import { testNetwork } from "../lab/network/test-network.ts";
import { programFile } from "./lib/dist.ts";
import { command } from "./lib/entry.ts";
import { readHandlerArguments } from "./lib/handler-arguments.ts";
import { needRoot } from "./lib/own-namespaces.ts";
import { prepareProduct } from "./lib/product.ts";

const HELP = `usage: npm run test:network -- [--handler runc|blazar] [TEXT]

Runs a private containerd in network namespaces of the test's own making, with networks of CNI's plugins, and every case
of lab/network/cases/ once under runc and once under blazar. Prints both answers where they differ. Fails if a
difference is not explained in docs/specification.md.

  --handler NAME  only under runc, or only under blazar
  TEXT            only cases with this text in their name (bridge|ptp: with one of several)
  --help          this text

Needs root, gcc, iproute2, and Debian's containernetworking-plugins and nftables.
`;

await command(async () => {
  const { help, handlers, only } = readHandlerArguments("test:network", process.argv.slice(2));
  if (help) process.stdout.write(HELP);
  if (help) return 0;
  needRoot("test pods' networks");
  await prepareProduct();
  return testNetwork({ program: programFile(), handlers, only });
});
