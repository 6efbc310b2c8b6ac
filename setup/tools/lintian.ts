/**
 * lintian(1) on a package: the machine's, or else Debian trixie's in a directory of its own, which is kept in the cache.
 *
 * A machine that cannot have it says what it lacks; the package's test then fails by that sentence and not by silence.
 */
import { copyFile, rm } from "node:fs/promises";
import path from "node:path";
import { reasonOf } from "../../src/contracts/errors.ts";
import { Cache, contentKey } from "../lib/cache.ts";
import { run } from "../lib/command.ts";
import { withLock } from "../lib/lock.ts";
import { makeDebian } from "../lib/mmdebstrap.ts";
import { cacheDirectory } from "../lib/paths.ts";
import type { Progress } from "../lib/progress.ts";
import { findProgram } from "../steps/packages.ts";

const SUITE = "trixie";
const OPTIONS = ["--fail-on", "none", "--color", "never", "--allow-root"];

/** What it says; or a line that begins with `lintian is not here`. */
export async function lint(deb: string, progress: Progress): Promise<string> {
  try {
    if (findProgram("lintian") !== undefined) return await run("lintian", [...OPTIONS, deb]);
    return await inDebian(deb, progress);
  } catch (error) {
    const lack = `lintian is not here: ${reasonOf(error)}`;
    progress.line(`  ${lack}; apt-get install lintian, or reach a Debian mirror as root`);
    return `${lack}\n`;
  }
}

async function inDebian(deb: string, progress: Progress): Promise<string> {
  const cache = new Cache(cacheDirectory());
  const waiting = (): void => progress.line("set-up is at work on this cache: waiting for it");
  const key = contentKey(["1", SUITE]);
  const fill = () => cache.ensure("lintian", key, (entry) => install(cache, entry));
  const why = `installs Debian ${SUITE}'s lintian into the cache (100 MB to download, 500 MB to keep)`;
  const entry = await withLock(cache.directory, waiting, () =>
    cache.has("lintian", key) ? fill() : progress.during("lintian", why, fill),
  );
  const root = path.join(entry, "root");
  const work = path.join(root, "tmp", path.basename(deb));
  await copyFile(deb, work);
  try {
    return await run("chroot", [root, "lintian", ...OPTIONS, `/tmp/${path.basename(deb)}`]);
  } finally {
    await rm(work);
  }
}

async function install(cache: Cache, entry: string): Promise<void> {
  const work = path.join(entry, "work");
  await makeDebian(cache, work, path.join(entry, "root"), { suite: SUITE, packages: ["lintian"] });
  await rm(work, { recursive: true });
}
