/**
 * promtool: the machine's, or else that of Debian's package prometheus, unpacked into the cache.
 *
 * Not a part of set-up: only `npm run test:metrics` needs it. The package must not be installed: it would start a server.
 */
import { copyFile, mkdir, rm } from "node:fs/promises";
import path from "node:path";
import { AptRoot } from "../lib/apt-root.ts";
import { Cache, contentKey } from "../lib/cache.ts";
import { run } from "../lib/command.ts";
import { withLock } from "../lib/lock.ts";
import { cacheDirectory } from "../lib/paths.ts";
import type { Progress } from "../lib/progress.ts";

/** Built for an old C library, it runs on newer ones. */
const SUITE = "bookworm";
const PACKAGE = "prometheus";

/** Finds or fetches it. @throws BlazarError that says what is lacking */
export async function promtoolProgram(progress: Progress): Promise<string> {
  if ((await run("promtool", ["--version"]).catch(() => "")) !== "") return "promtool";
  const cache = new Cache(cacheDirectory());
  const key = contentKey(["1", SUITE, PACKAGE]);
  const waiting = (): void => progress.line("set-up is at work on this cache: waiting for it");
  const entry = await withLock(cache.directory, waiting, async () => {
    if (cache.has("promtool", key)) return await cache.ensure("promtool", key, async () => undefined);
    const why = `downloads Debian ${SUITE}'s ${PACKAGE} (30 MB, not installed), of which promtool is kept`;
    return await progress.during("promtool", why, () =>
      cache.ensure("promtool", key, async (directory) => {
        const work = path.join(directory, "work");
        await mkdir(work);
        const apt = await AptRoot.open(path.join(cache.directory, "apt", SUITE), SUITE, "deb");
        const unpacked = path.join(work, "unpacked");
        await run("dpkg-deb", ["-x", await apt.download(PACKAGE, work), unpacked]);
        await copyFile(path.join(unpacked, "usr", "bin", "promtool"), path.join(directory, "promtool"));
        await rm(work, { recursive: true });
      }),
    );
  });
  return path.join(entry, "promtool");
}
