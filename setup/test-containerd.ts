/**
 * `npm run test:containerd -- --version 2.3 [-- VITEST ARGS]`: the end-to-end tests on another version of containerd.
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
import { namedContainerd } from "./steps/artifacts.ts";
import { builtContainerd } from "./tools/containerd.ts";

const HELP = `usage: npm run test:containerd -- --version VERSION [--build-only] [-- VITEST ARGS]

Builds containerd from its Go module, and runs the end-to-end tests that start pods through containerd on it. With arguments,
vitest gets these instead: a file, -t NAME. docs/containerd.md has what came of it with which version.

  --version VERSION  a line (2.3: its newest release) or a version (2.3.4)
  --build-only       builds it, prints the directory of its programs, and tests nothing
  --help             this text

Needs root, Go 1.21 or newer (or a Debian mirror to fetch it from) and, for the first run of a version, a Go module proxy.
The programs are kept in the cache.
`;

/** Those that start a containerd, but the ones that are about an emulated host. */
const TESTS = ["--project", "e2e", "--project", "alone", "--exclude", "test/e2e/emulated-host.test.ts"];

function read(args: readonly string[]) {
  const options = {
    version: { type: "string" },
    "build-only": { type: "boolean" },
    help: { type: "boolean" },
  } as const;
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    throw wrong(reasonOf(error));
  }
}

function wrong(reason: string) {
  const remedy = "see: npm run test:containerd -- --help";
  return blazarError("InvalidArgument", "read the arguments of test:containerd", reason, { remedy });
}

await command(async () => {
  const { values, positionals } = read(process.argv.slice(2));
  if (values.help === true) process.stdout.write(HELP);
  if (values.help === true) return 0;
  if (values.version === undefined) throw wrong("no --version is named");
  const containerd = await builtContainerd(values.version, streamProgress());
  if (values["build-only"] === true) process.stdout.write(`${containerd.bin}\n`);
  if (values["build-only"] === true) return 0;
  needRoot("start pods through containerd");
  await prepareProduct();
  const tests = positionals.length === 0 ? TESTS : ["--project", "e2e", "--project", "alone", ...positionals];
  const env = { ...process.env, ...namedContainerd(containerd) };
  return await passThrough(process.execPath, [nodeBin("vitest"), "run", ...tests], { cwd: repoRoot(), env });
});
