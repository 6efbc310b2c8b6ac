/**
 * Builds critest, the validation suite of cri-tools, and crictl from their Go module; the programs are kept in the cache.
 *
 * Not a part of set-up: only `npm run test:critest` and `npm run test:package` need them. The go command fetches and verifies the modules, by the
 * machine's GOPROXY and GOSUMDB. Must not change the module's sources.
 */
import { rename } from "node:fs/promises";
import path from "node:path";
import { blazarError } from "../../src/contracts/errors.ts";
import { Cache, contentKey } from "../lib/cache.ts";
import { run } from "../lib/command.ts";
import { withLock } from "../lib/lock.ts";
import { cacheDirectory } from "../lib/paths.ts";
import type { Progress } from "../lib/progress.ts";
import { goToolchain } from "./go.ts";

/** The suite's version: of the Kubernetes that it belongs to. */
export const CRI_TOOLS = "v1.36.0";
const MODULE = `sigs.k8s.io/cri-tools@${CRI_TOOLS}`;
const REMEDY =
  "check that this machine reaches a Go module proxy (go env GOPROXY), then run again; what was fetched is kept";

type Program = "critest" | "crictl";

/** How go(1) builds each, but for where to. */
const BUILD: Readonly<Record<Program, readonly string[]>> = {
  critest: ["test", "-c", "-trimpath"],
  crictl: ["build", "-trimpath"],
};

/** The program's path, built first if it is missing: 2 to 4 minutes, once. */
export async function criTool(name: Program, progress: Progress): Promise<string> {
  const cache = new Cache(cacheDirectory());
  const key = contentKey(["1", MODULE]);
  const waiting = (): void => progress.line("set-up is at work on this cache: waiting for it");
  const entry = await withLock(cache.directory, waiting, async () => {
    if (cache.has(name, key)) return await cache.ensure(name, key, async () => undefined);
    const go = await goToolchain(cache, progress);
    const why = `builds ${name} of ${MODULE} with ${go.program} (its modules: 200 MB in Go's cache; the program: 40 MB)`;
    return await progress.during(name, why, () =>
      cache.ensure(name, key, async (directory) => {
        const options = { remedy: REMEDY, env: { ...go.env, CGO_ENABLED: "0" } };
        const said = await run(go.program, ["mod", "download", "-json", MODULE], options);
        const program = path.join(directory, `${name}.new`);
        await run(go.program, [...BUILD[name], "-o", program, `./cmd/${name}`], {
          ...options,
          cwd: moduleDirectory(said),
        });
        await rename(program, path.join(directory, name));
      }),
    );
  });
  return path.join(entry, name);
}

/** Where `go mod download -json` says that the module is. */
function moduleDirectory(said: string): string {
  const { Dir } = JSON.parse(said) as { Dir?: string };
  if (Dir !== undefined) return Dir;
  throw blazarError("DependencyMissing", "download", "go names no directory", {
    subject: MODULE,
    remedy: REMEDY,
  });
}
