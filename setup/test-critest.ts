/**
 * `npm run test:critest [-- --handler blazar|runc] [-- TEXT]`: cri-tools' validation suite on a private node.
 *
 * The suite runs in network and IPC namespaces of its own, so this entry starts itself once more in these (unshare(1)).
 */
import path from "node:path";
import { testCritest } from "../lab/critest/critest.ts";
import { blazarError } from "../src/contracts/errors.ts";
import { passThrough } from "./lib/command.ts";
import { CRITEST_HELP, readCritestArguments } from "./lib/critest-arguments.ts";
import { programFile } from "./lib/dist.ts";
import { command } from "./lib/entry.ts";
import { distDirectory } from "./lib/paths.ts";
import { prepareProduct } from "./lib/product.ts";
import { streamProgress } from "./lib/progress.ts";
import { artifacts } from "./steps/artifacts.ts";
import { critestProgram } from "./steps/critest.ts";

/** Set in the second start, which is in the namespaces: the path of critest. */
const INSIDE = "BLAZAR_CRITEST_PROGRAM";

await command(async () => {
  const args = process.argv.slice(2);
  const { help, handlers, only } = readCritestArguments(args);
  if (help) process.stdout.write(CRITEST_HELP);
  if (help) return 0;
  const critest = process.env[INSIDE];
  if (critest === undefined) return await outside(args);
  const logs = path.join(distDirectory(), "critest");
  return testCritest({ program: programFile(), critest, handlers, only, logs });
});

/** Prepares everything that needs the network, then starts this program in namespaces of its own. */
async function outside(args: readonly string[]): Promise<number> {
  if (process.getuid?.() !== 0)
    throw blazarError("DependencyMissing", "run critest", "containers of runc and namespaces need root");
  await prepareProduct();
  const critest = await critestProgram(streamProgress());
  const { busybox } = artifacts();
  // $0 is busybox, the rest is this program
  const script = '"$0" ip link set lo up && exec "$@"';
  const again = [process.execPath, ...process.execArgv, process.argv[1] ?? "", ...args];
  return await passThrough("unshare", ["--net", "--ipc", "sh", "-c", script, busybox.binary, ...again], {
    env: { ...process.env, [INSIDE]: critest },
  });
}
