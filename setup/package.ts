/**
 * `npm run package [-- --version VERSION] [--output DIRECTORY]`: a .deb and a tarball with all that a node needs.
 */
import path from "node:path";
import { parseArgs } from "node:util";
import { reasonOf } from "../src/contracts/errors.ts";
import { misuse } from "../src/contracts/misuse.ts";
import { PACKAGES } from "./lib/dist.ts";
import { command } from "./lib/entry.ts";
import { distDirectory } from "./lib/paths.ts";
import { streamProgress } from "./lib/progress.ts";
import { makePackages } from "./package/packages.ts";
import { readRelease } from "./package/release.ts";
import { ensureArtifacts } from "./steps/artifacts.ts";

const HELP = `usage: npm run package [-- --version VERSION] [--output DIRECTORY]

Builds blazar_VERSION_amd64.deb and blazar_VERSION_amd64.tar.gz: bundle, keeper, guest, empty layer, units, man pages,
completions. Two builds of one commit are the same bytes: files have the commit's time, or SOURCE_DATE_EPOCH.

  --version VERSION   default: package.json's
  --output DIRECTORY  default: dist/packages
  --help              this text
`;

function read(args: readonly string[]) {
  const options = {
    version: { type: "string" },
    output: { type: "string" },
    help: { type: "boolean" },
  } as const;
  try {
    return parseArgs({ args: [...args], options }).values;
  } catch (error) {
    throw misuse(reasonOf(error), { remedy: "see: npm run package -- --help" });
  }
}

await command(async () => {
  const values = read(process.argv.slice(2));
  if (values.help === true) process.stdout.write(HELP);
  if (values.help === true) return 0;
  const progress = streamProgress();
  const release = await readRelease(values.version);
  const directory =
    values.output === undefined ? path.join(distDirectory(), PACKAGES) : path.resolve(values.output);
  const { deb, tarball } = await makePackages(directory, release, await ensureArtifacts(progress), progress);
  process.stdout.write(`${deb}\n${tarball}\n`);
  return 0;
});
