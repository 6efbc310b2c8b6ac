/**
 * Step: the newest containerd 2.x of Debian forky, unpacked into the cache.
 *
 * Forky changes, so apt is asked once a day. Without an answer, or if forky has left 2.x, the cached version stays in
 * use. Must never install the package or touch the system's containerd.
 */
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import path from "node:path";
import { blazarError } from "../../src/contracts/errors.ts";
import { AptRoot } from "../lib/apt-root.ts";
import type { Cache } from "../lib/cache.ts";
import { run } from "../lib/command.ts";
import type { Progress } from "../lib/progress.ts";
import type { Step } from "./steps.ts";

/** An unpacked containerd. */
export interface Containerd {
  /** Directory with containerd, containerd-shim-runc-v2 and ctr. */
  readonly bin: string;
  /** Debian's version: `2.1.9+ds1-5`. */
  readonly version: string;
}

const SUITE = "forky";
const DAY_MS = 24 * 60 * 60 * 1000;
/** When to ask again after there was no answer: a machine without network must not be slow each time. */
const RETRY_MS = 60 * 60 * 1000;
/** The sandbox API as it is used needs 2.1; 3.x would be another API. */
const USABLE = /^2\.(?!0\.)\d+\./;

export function containerdStep(cache: Cache): Step<Containerd> {
  const answer = path.join(cache.directory, "containerd-version");
  return {
    name: "containerd",
    why: `asks Debian ${SUITE} for the newest containerd 2.x, to unpack it into the cache (30 MB; the system's own stays as it is)`,
    upToDate: async () => {
      const age = await stat(answer).then(
        ({ mtimeMs }) => Date.now() - mtimeMs,
        () => Number.POSITIVE_INFINITY,
      );
      if (age > DAY_MS) return undefined;
      const version = (await readFile(answer, "utf8")).trim();
      return cache.has("containerd", version) ? await ensure(cache, version) : undefined;
    },
    run: async (progress) => {
      try {
        const containerd = await newest(cache, progress);
        await writeFile(`${answer}.new`, `${containerd.version}\n`);
        await rename(`${answer}.new`, answer);
        return containerd;
      } catch (error) {
        const cached = await lastUsed(cache);
        if (cached === undefined) throw error;
        progress.line(`  Debian ${SUITE} cannot be asked now: going on with the cached ${cached.version}`);
        await writeFile(answer, `${cached.version}\n`);
        const askAgain = new Date(Date.now() - DAY_MS + RETRY_MS);
        await utimes(answer, askAgain, askAgain);
        return cached;
      }
    },
  };
}

async function newest(cache: Cache, progress: Progress): Promise<Containerd> {
  const apt = await AptRoot.open(path.join(cache.directory, "apt", SUITE), SUITE, "deb");
  const version = await apt.version("containerd");
  if (!USABLE.test(version)) {
    throw blazarError(
      "DependencyMissing",
      `use containerd of Debian ${SUITE}`,
      "only 2.1 and later 2.x versions are known to work",
      { subject: version, remedy: "see docs/ for the versions that were tested" },
    );
  }
  progress.line(`  containerd ${version}`);
  return await ensure(cache, version, apt);
}

/** The entry of a version, unpacked from apt's package if it is not there yet. */
async function ensure(cache: Cache, version: string, apt?: AptRoot): Promise<Containerd> {
  const entry = await cache.ensure("containerd", version, async (directory) => {
    const work = path.join(directory, "work");
    await mkdir(work);
    const archive = await apt?.download("containerd", work);
    await run("dpkg-deb", ["-x", archive ?? "", path.join(work, "unpacked")]);
    await rename(path.join(work, "unpacked", "usr", "bin"), path.join(directory, "bin"));
    await rm(work, { recursive: true });
  });
  return { bin: path.join(entry, "bin"), version };
}

async function lastUsed(cache: Cache): Promise<Containerd | undefined> {
  const directory = path.join(cache.directory, "containerd");
  const versions = await readdir(directory).catch(() => []);
  const times = await Promise.all(
    versions.map(async (one) => (await stat(path.join(directory, one))).mtimeMs),
  );
  const newestTime = Math.max(...times);
  const version = versions[times.indexOf(newestTime)];
  if (version === undefined || !existsSync(path.join(directory, version, "bin", "containerd")))
    return undefined;
  return { bin: path.join(directory, version, "bin"), version };
}
