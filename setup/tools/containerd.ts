/**
 * Builds a version of containerd from its Go module; the programs are kept in the cache.
 *
 * Not a part of set-up, which has Debian's: only `npm run test:containerd` needs it. The go command fetches and verifies the
 * modules, by the machine's GOPROXY and GOSUMDB. Must not change the module's sources.
 */
import { readdir, rename } from "node:fs/promises";
import path from "node:path";
import { blazarError } from "../../src/contracts/errors.ts";
import { Cache } from "../lib/cache.ts";
import { type CommandOptions, run } from "../lib/command.ts";
import { withLock } from "../lib/lock.ts";
import { cacheDirectory } from "../lib/paths.ts";
import type { Progress } from "../lib/progress.ts";
import { newestOf, readVersion } from "./containerd-versions.ts";
import { type Go, goToolchain } from "./go.ts";

const MODULE = "github.com/containerd/containerd/v2";
const KIND = "containerd-built";
const PROGRAMS = ["containerd", "ctr", "containerd-shim-runc-v2"];
/** Without what a test does not need: manual pages, and file systems that need C libraries. */
const TAGS = "urfave_cli_no_docs,no_btrfs,no_zfs,no_devmapper";
const REMEDY =
  "check that this machine reaches a Go module proxy (go env GOPROXY), then run again; what was fetched is kept";

/** A containerd that was built here. */
export interface BuiltContainerd {
  /** Directory of {@link PROGRAMS}. */
  readonly bin: string;
  /** `2.3.7`. */
  readonly version: string;
}

/**
 * Finds or builds it: 7 to 13 minutes on two busy cores, once for each version.
 * @param asked `2.3`, or `2.3.4`. Of a line that the proxy cannot be asked about, the newest that was built before is taken.
 */
export async function builtContainerd(asked: string, progress: Progress): Promise<BuiltContainerd> {
  const { version, isExact } = readVersion(asked);
  const cache = new Cache(cacheDirectory());
  const waiting = (): void => progress.line("set-up is at work on this cache: waiting for it");
  return await withLock(cache.directory, waiting, async () => {
    if (isExact && cache.has(KIND, version)) return { bin: cache.entry(KIND, version), version };
    const go = await goToolchain(cache, progress);
    const chosen = isExact ? version : await newest(cache, go, version, progress);
    if (cache.has(KIND, chosen)) return { bin: cache.entry(KIND, chosen), version: chosen };
    const why = `builds ${MODULE}@v${chosen} with ${go.program} (its modules: 300 MB in Go's cache; the programs: 80 MB)`;
    const bin = await progress.during("containerd", why, () =>
      cache.ensure(KIND, chosen, (directory) => build(go, chosen, directory)),
    );
    await cache.prune(KIND);
    return { bin, version: chosen };
  });
}

async function newest(cache: Cache, go: Go, line: string, progress: Progress): Promise<string> {
  try {
    const listed = await run(go.program, ["list", "-m", "-versions", MODULE], outside(cache, go));
    const found = newestOf(line, listed.trim().split(/\s+/));
    if (found !== undefined) return found;
  } catch (error) {
    const before = newestOf(line, await readdir(path.join(cache.directory, KIND)).catch(() => []));
    if (before === undefined) throw error;
    progress.line(
      `  the Go module proxy cannot be asked now: going on with the ${before} that was built before`,
    );
    return before;
  }
  throw blazarError(
    "DependencyMissing",
    "find a release of containerd",
    "the Go module proxy has none of this line",
    {
      subject: line,
      remedy: "name another line, such as 2.3",
    },
  );
}

async function build(go: Go, version: string, directory: string): Promise<void> {
  const options = { remedy: REMEDY, env: { ...go.env, CGO_ENABLED: "0" } };
  const said = await run(go.program, ["mod", "download", "-json", `${MODULE}@v${version}`], options);
  const { Dir: source = "" } = JSON.parse(said) as { Dir?: string };
  const flags = ["-trimpath", "-mod=readonly", `-tags=${TAGS}`];
  const stamp = `-ldflags=-s -w -X ${MODULE}/version.Version=v${version}`;
  for (const program of PROGRAMS) {
    const made = path.join(directory, `${program}.new`);
    const words = ["build", ...flags, stamp, "-o", made, `./cmd/${program}`];
    await run(go.program, words, { ...options, cwd: source });
    await rename(made, path.join(directory, program));
  }
}

/** Asked outside of any module, the go command needs no go.mod. */
function outside(cache: Cache, go: Go): CommandOptions {
  return { remedy: REMEDY, env: { ...go.env }, cwd: cache.directory };
}
