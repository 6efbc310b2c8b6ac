/**
 * An earlier commit of this repository, built by its own set-up: the program, and a cache of its own beside it.
 *
 * It begins with hard links to this checkout's npm packages and to what the cache has, so it builds only what differs. npm
 * and set-up replace files and never write into them, so this checkout's stay as they are. Its `current.json` is its own.
 */
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import path from "node:path";
import { BlazarError, blazarError } from "../../src/contracts/errors.ts";
import { Cache, contentKey } from "../lib/cache.ts";
import { run } from "../lib/command.ts";
import { withLock } from "../lib/lock.ts";
import { cacheDirectory, repoRoot } from "../lib/paths.ts";
import type { Progress } from "../lib/progress.ts";

const KIND = "previous";
/** Of the cache: what is not an earlier build's. */
const NOT_SHARED = [KIND, "partial", "current.json", "lock"];
/** cp(1): a tree of hard links. */
const LINK = ["-al"];
/** Change it when the recipe below changes. */
const RECIPE = "1";

export interface PreviousBuild {
  readonly commit: string;
  /** Its `dist/blazar.mjs`. */
  readonly program: string;
  /** What `BLAZAR_CACHE` is for it. */
  readonly cache: string;
  readonly keeper: string;
}

/** Builds the commit, unless it has been. @throws BlazarError that names what is missing */
export async function previousBuild(name: string, progress: Progress): Promise<PreviousBuild> {
  const commit = await findCommit(name);
  const cache = new Cache(cacheDirectory());
  const waiting = (): void => progress.line("set-up is at work on this cache: waiting for it");
  const root = await withLock(cache.directory, waiting, async () => {
    const entry = await cache.ensure(KIND, contentKey([RECIPE, commit]), async (directory) => {
      await unpack(commit, directory);
      await sharePackages(directory);
      await shareCache(cache.directory, path.join(directory, "cache"));
    });
    await cache.prune(KIND);
    return entry;
  });
  const own = path.join(root, "cache");
  const why = `builds the commit ${commit} by its own set-up, in ${root}`;
  await progress.during("previous build", why, async () => {
    for (const name of ["setup", "build"]) await runThere(root, name, { BLAZAR_CACHE: own });
  });
  const { keeper } = JSON.parse(await readFile(path.join(own, "current.json"), "utf8")) as {
    readonly keeper: string;
  };
  return { commit, program: path.join(root, "dist", "blazar.mjs"), cache: own, keeper };
}

async function findCommit(name: string): Promise<string> {
  const asked = [
    "-C",
    repoRoot(),
    "rev-parse",
    "--verify",
    "--quiet",
    "--end-of-options",
    `${name}^{commit}`,
  ];
  try {
    return (await run("git", asked)).trim();
  } catch (cause) {
    const noGit = cause instanceof BlazarError && cause.code === "DependencyMissing";
    throw blazarError(
      "DependencyMissing",
      "find the previous build's commit",
      noGit ? "git cannot be run" : "no such commit is there",
      {
        subject: `${name} in ${repoRoot()}`,
        remedy: noGit
          ? "install git"
          : "use a git checkout with its whole history (git fetch --unshallow), or name a commit by --from",
        cause,
      },
    );
  }
}

async function unpack(commit: string, directory: string): Promise<void> {
  const archive = path.join(directory, "source.tar");
  await run("git", ["-C", repoRoot(), "archive", "--output", archive, commit]);
  await run("tar", ["-xf", archive, "-C", directory]);
  await rm(archive);
}

/** With another lock file, or where no links can be made, its set-up installs its packages itself. */
async function sharePackages(directory: string): Promise<void> {
  const locks = [repoRoot(), directory].map((root) => readFile(path.join(root, "package-lock.json"), "utf8"));
  const [ours, theirs] = await Promise.all(locks);
  if (ours !== theirs) return;
  await run("cp", [...LINK, path.join(repoRoot(), "node_modules"), directory]).catch(() =>
    rm(path.join(directory, "node_modules"), { recursive: true, force: true }),
  );
}

async function shareCache(from: string, to: string): Promise<void> {
  const names = (await readdir(from)).filter((name) => !NOT_SHARED.includes(name));
  await mkdir(to);
  if (names.length > 0) await run("cp", [...LINK, ...names.map((name) => path.join(from, name)), to]);
}

/** Runs a command of that checkout by its own code, which finds its root by itself. */
async function runThere(root: string, name: string, env: Readonly<Record<string, string>>): Promise<void> {
  const words = [path.join(root, "setup", "run.mjs"), path.join(root, "setup", `${name}.ts`)];
  await run(process.execPath, words, { cwd: root, env });
}
