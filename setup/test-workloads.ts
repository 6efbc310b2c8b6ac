/**
 * `npm run test:workloads [-- --handler runc|blazar] [TEXT]`: databases and servers in pods with volumes.
 */
import { workloadsImage } from "../lab/workloads/image.ts";
import { testWorkloads } from "../lab/workloads/workloads.ts";
import { programFile } from "./lib/dist.ts";
import { command } from "./lib/entry.ts";
import { readHandlerArguments } from "./lib/handler-arguments.ts";
import { handedOver, inOwnNamespaces, needRoot } from "./lib/own-namespaces.ts";
import { cacheDirectory } from "./lib/paths.ts";
import { prepareProduct } from "./lib/product.ts";
import { streamProgress } from "./lib/progress.ts";
import { artifacts } from "./steps/artifacts.ts";

const HELP = `usage: npm run test:workloads -- [--handler runc|blazar] [TEXT]

Runs PostgreSQL, redis, nginx, git and sqlite of Debian in pods with volumes, under runc and under blazar of a private
containerd. Prints which gave the right answers, and both counts. Fails if an answer is wrong.

  --handler NAME  only under runc, or only under blazar
  TEXT            only workloads with this text in their name
  --help          this text

Needs root; for the first run also a Debian mirror and 1.2 GB of disk, of which 600 MB stay in the cache.
`;

await command(async () => {
  const { help, handlers, only } = readHandlerArguments("test:workloads", process.argv.slice(2));
  if (help) process.stdout.write(HELP);
  if (help) return 0;
  const built = handedOver<{ readonly image: string }>();
  if (built !== undefined) return testWorkloads({ ...built, program: programFile(), handlers, only });
  needRoot("run the workloads");
  await prepareProduct();
  const image = await workloadsImage(cacheDirectory(), streamProgress());
  return inOwnNamespaces(artifacts().busybox.binary, { image });
});
