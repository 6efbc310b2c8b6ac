/**
 * `npm run test:upgrade [-- --from COMMIT] [--keeper COMMIT] [-- VITEST ARGS]`: this checkout's daemon beside earlier builds.
 *
 * The exit code is vitest's own.
 */
import { parseArgs } from "node:util";
import { blazarError, reasonOf } from "../src/contracts/errors.ts";
import { passThrough } from "./lib/command.ts";
import { command } from "./lib/entry.ts";
import { needRoot } from "./lib/own-namespaces.ts";
import { nodeBin, repoRoot } from "./lib/paths.ts";
import { prepareProduct } from "./lib/product.ts";
import { streamProgress } from "./lib/progress.ts";
import { previousBuild } from "./tools/previous-build.ts";

/** The first commit whose daemon leaves what a later one takes over. After a release: the release's. */
const FROM = "ade941a6c3c0c4c1b0cfc2561d6b05e52c1f219a";
/** The last commit whose keeper has minor version 0 of its protocol, and whose daemon's pods end with it. */
const KEEPER = "99c6fe14a38ddaf7dfdd3d1da84b0d869485d138";

const HELP = `usage: npm run test:upgrade [-- --from COMMIT] [--keeper COMMIT] [-- VITEST ARGS]

Builds earlier commits, and has this checkout's daemon take over what runs on a private node, after SIGKILL and after SIGTERM.
Once all that runs was started by an earlier daemon with its keeper and guests; once by this daemon with a keeper that is older
still. Of the older daemon itself nothing can be taken over: its pods must end, and leave nothing.

  --from COMMIT    of the earlier daemon, keeper and guests (${FROM.slice(0, 7)})
  --keeper COMMIT  of the older keeper (${KEEPER.slice(0, 7)})
  --help           this text

Needs root, and git with the commits. The builds are kept in the cache.
`;

function read(args: readonly string[]) {
  const options = {
    from: { type: "string", default: FROM },
    keeper: { type: "string", default: KEEPER },
    help: { type: "boolean" },
  } as const;
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    const remedy = "see: npm run test:upgrade -- --help";
    throw blazarError("InvalidArgument", "read the arguments of test:upgrade", reasonOf(error), { remedy });
  }
}

await command(async () => {
  const { values, positionals } = read(process.argv.slice(2));
  if (values.help === true) process.stdout.write(HELP);
  if (values.help === true) return 0;
  needRoot("start pods through containerd");
  const progress = streamProgress();
  const from = await previousBuild(values.from, progress);
  const keeper = await previousBuild(values.keeper, progress);
  await prepareProduct();
  const vitest = [nodeBin("vitest"), "run", "--project", "upgrade", ...positionals];
  const env = { ...process.env, BLAZAR_PREVIOUS: JSON.stringify({ from, keeper }) };
  return await passThrough(process.execPath, vitest, { cwd: repoRoot(), env });
});
