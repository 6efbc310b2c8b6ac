/**
 * `npm run test:critest [-- --handler runc|blazar] [TEXT]`: cri-tools' validation suite on a private node.
 */
import path from "node:path";
import { testCritest } from "../lab/critest/critest.ts";
import { programFile } from "./lib/dist.ts";
import { command } from "./lib/entry.ts";
import { readHandlerArguments } from "./lib/handler-arguments.ts";
import { handedOver, inOwnNamespaces, needRoot } from "./lib/own-namespaces.ts";
import { distDirectory } from "./lib/paths.ts";
import { prepareProduct } from "./lib/product.ts";
import { streamProgress } from "./lib/progress.ts";
import { criTool } from "./tools/cri-tools.ts";
import { type FullBusybox, fullBusybox } from "./tools/full-busybox.ts";

const HELP = `usage: npm run test:critest -- [--handler runc|blazar] [TEXT]

Runs critest, the validation suite of cri-tools, against a private containerd: under runc, then under blazar.
Prints a table of its cases, and both counts. Fails if blazar fails a case that runc passes, unless the case is
explained in docs/specification.md.

  --handler NAME  only under runc, or only under blazar
  TEXT            only cases with this text in their name
  --help          this text

Needs root, a C compiler and Debian's containernetworking-plugins; for the first run also a Debian mirror, and a Go
module proxy. Reports and output of the runs stay in dist/critest/.
`;

interface Built {
  readonly critest: string;
  readonly busybox: FullBusybox;
}

await command(async () => {
  const { help, handlers, only } = readHandlerArguments("test:critest", process.argv.slice(2));
  if (help) process.stdout.write(HELP);
  if (help) return 0;
  const built = handedOver<Built>();
  if (built === undefined) return await prepare();
  const logs = path.join(distDirectory(), "critest");
  return testCritest({ ...built, program: programFile(), handlers, only, logs });
});

async function prepare(): Promise<number> {
  needRoot("run critest");
  await prepareProduct();
  const progress = streamProgress();
  const built: Built = { critest: await criTool("critest", progress), busybox: await fullBusybox(progress) };
  return inOwnNamespaces(built.busybox.binary, built);
}
