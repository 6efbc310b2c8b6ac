/**
 * Runs the product from this checkout: set-up, bundle, then dist/blazar.mjs in this same process.
 *
 * So terminal, signals and exit code are the product's own. Must print nothing to stdout, which is the product's.
 */
import { pathToFileURL } from "node:url";
import { ensureArtifacts } from "../steps/artifacts.ts";
import { buildDist, programFile } from "./dist.ts";
import { streamProgress } from "./progress.ts";

/** Sets up and bundles what is missing. */
export async function prepareProduct(): Promise<void> {
  const progress = streamProgress();
  const { cache } = await ensureArtifacts(progress);
  await buildDist(progress);
  // the product finds kernel, initramfs and keeper through <cache>/current.json
  process.env["BLAZAR_CACHE"] = cache;
}

/** Sets up what is missing and runs the product with these arguments. */
export async function runProduct(args: readonly string[]): Promise<void> {
  await prepareProduct();
  process.argv = [process.execPath, programFile(), ...args];
  await import(pathToFileURL(programFile()).href);
}
