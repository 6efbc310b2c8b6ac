/**
 * Where things are: the checkout, the cache outside of it, the build's output.
 *
 * Set-up code is bundled before it runs, so its own location does not tell. The root comes from BLAZAR_ROOT (run.mjs
 * sets it); under vitest it is the nearest directory above with setup/run.mjs. Must not create anything.
 */
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import path from "node:path";

/** The checkout's directory. */
export function repoRoot(): string {
  const named = process.env["BLAZAR_ROOT"];
  if (named !== undefined && named !== "") return named;
  let directory = process.cwd();
  while (!existsSync(path.join(directory, "setup", "run.mjs"))) {
    const parent = path.dirname(directory);
    if (parent === directory) throw new Error("not inside a checkout of Blazar: set BLAZAR_ROOT");
    directory = parent;
  }
  return directory;
}

/** Where everything built by set-up is kept: BLAZAR_CACHE, or `~/.cache/blazar`. */
export function cacheDirectory(): string {
  const named = process.env["BLAZAR_CACHE"];
  if (named !== undefined && named !== "") return path.resolve(named);
  return path.join(homedir(), ".cache", "blazar");
}

/** Where the bundled program is written. */
export function distDirectory(): string {
  return path.join(repoRoot(), "dist");
}

/** A program of node_modules/.bin. */
export function nodeBin(name: string): string {
  return path.join(repoRoot(), "node_modules", ".bin", name);
}
