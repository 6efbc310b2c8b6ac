/**
 * `npm run test:kvm [-- VITEST ARGS]`: what runs under KVM and cgroup v2, in an emulated host (lab/emulated-host).
 *
 * A machine with a KVM of its own does as well: `BLAZAR_TEST_ACCELERATION=kvm npx vitest run --project integration FILE`.
 */
import { readHostRequest } from "../lab/emulated-host/arguments.ts";
import { runInHost } from "../lab/emulated-host/host.ts";
import { hostParts } from "../lab/emulated-host/parts.ts";
import { command } from "./lib/entry.ts";
import { needRoot } from "./lib/own-namespaces.ts";
import { nodeBin } from "./lib/paths.ts";
import { prepareProduct } from "./lib/product.ts";
import { streamProgress } from "./lib/progress.ts";
import { artifacts } from "./steps/artifacts.ts";

const HELP = `usage: npm run test:kvm [-- VITEST ARGS]

Boots an emulated host with AMD-V, and runs in it, under KVM and cgroup v2: the driver's conformance suite, templates and
clones, pods from the pool, blazar run, and the demo. With arguments, vitest gets these instead: a file, -t NAME.

Needs root, 8 GiB of memory, and for the first run a Debian mirror (70 MB).
`;

/**
 * The ports' promises first: what fails there explains what fails after it. That clones keep those of every VM is left to
 * `npm test` (template-conformance): it takes as long as all of them.
 */
const FILES = [
  ...["conformance", "clone-conformance", "template"].map((name) => `test/integration/qemu/${name}.test.ts`),
  ...["pool", "clones", "run", "demo"].map((name) => `test/e2e/${name}.test.ts`),
];
/** An emulated host is some ten times slower: lab/host/patience.ts. */
const PATIENCE = "10";

await command(async () => {
  const args = process.argv.slice(2);
  if (args.includes("--help")) process.stdout.write(HELP);
  if (args.includes("--help")) return 0;
  needRoot("test KVM");
  await prepareProduct();
  // the tests ask for it by name, and fail where it does not work
  process.env["BLAZAR_TEST_ACCELERATION"] = "kvm";
  process.env["BLAZAR_TEST_PATIENCE"] = PATIENCE;
  const vitest = [process.execPath, nodeBin("vitest"), "run", "--reporter=verbose"];
  const request = readHostRequest({}, [...vitest, ...(args.length === 0 ? FILES : args)]);
  return runInHost(request, await hostParts(artifacts(), request.kind, streamProgress()));
});
