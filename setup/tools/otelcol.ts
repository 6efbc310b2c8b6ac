/**
 * Builds the collector of `npm run test:metrics`: OpenTelemetry's own, of lab/otelcol; the program is kept in the cache.
 *
 * Not a part of set-up. The go command fetches and verifies the modules, by the machine's GOPROXY and GOSUMDB. Must not change
 * go.mod or go.sum.
 */
import { rename } from "node:fs/promises";
import path from "node:path";
import { Cache, contentKey, filesForKey } from "../lib/cache.ts";
import { run } from "../lib/command.ts";
import { withLock } from "../lib/lock.ts";
import { cacheDirectory, repoRoot } from "../lib/paths.ts";
import type { Progress } from "../lib/progress.ts";
import { goToolchain } from "./go.ts";

const REMEDY =
  "check that this machine reaches a Go module proxy (go env GOPROXY), then run again; what was fetched is kept";
const SOURCES = ["go.mod", "go.sum", "main.go"];

/** The program's path, built first if it is missing: 2 to 4 minutes, once. */
export async function collectorProgram(progress: Progress): Promise<string> {
  const cache = new Cache(cacheDirectory());
  const source = path.join(repoRoot(), "lab", "otelcol");
  const files = SOURCES.map((name) => path.join(source, name));
  const key = contentKey(["1", ...(await filesForKey(repoRoot(), files))]);
  const waiting = (): void => progress.line("set-up is at work on this cache: waiting for it");
  const entry = await withLock(cache.directory, waiting, async () => {
    if (cache.has("otelcol", key)) return await cache.ensure("otelcol", key, async () => undefined);
    const go = await goToolchain(cache, progress);
    const why = `builds lab/otelcol with ${go.program} (its modules: 300 MB in Go's cache; the program: 30 MB)`;
    return await progress.during("otelcol", why, () =>
      cache.ensure("otelcol", key, async (directory) => {
        const program = path.join(directory, "otelcol.new");
        const build = ["build", "-mod=readonly", "-trimpath", "-ldflags=-s -w", "-o", program, "."];
        await run(go.program, build, { remedy: REMEDY, env: { ...go.env, CGO_ENABLED: "0" }, cwd: source });
        await rename(program, path.join(directory, "otelcol"));
      }),
    );
  });
  return path.join(entry, "otelcol");
}
