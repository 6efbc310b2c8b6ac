/**
 * `npm run test:ui [-- VITEST ARGS]`: the state-chart page in a real browser, Debian's Chromium without a window.
 *
 * Bundles what is missing, then runs test/ui. The exit code is vitest's own.
 */
import { blazarError } from "../src/contracts/errors.ts";
import { passThrough } from "./lib/command.ts";
import { command } from "./lib/entry.ts";
import { nodeBin, repoRoot } from "./lib/paths.ts";
import { prepareProduct } from "./lib/product.ts";
import { findProgram } from "./steps/packages.ts";

/** Names the browser to the tests. */
const VARIABLE = "BLAZAR_CHROMIUM";

await command(async () => {
  const chromium = process.env[VARIABLE] ?? findProgram("chromium");
  if (chromium === undefined) {
    const remedy = `as root: apt-get install --no-install-recommends chromium; or name one in ${VARIABLE}`;
    throw blazarError("DependencyMissing", "test the page", "there is no browser", {
      subject: "chromium",
      remedy,
    });
  }
  await prepareProduct();
  const args = [nodeBin("vitest"), "run", "--project", "ui", ...process.argv.slice(2)];
  const env = { ...process.env, [VARIABLE]: chromium };
  return await passThrough(process.execPath, args, { cwd: repoRoot(), env });
});
