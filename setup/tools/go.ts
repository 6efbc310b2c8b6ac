/**
 * A Go toolchain: the machine's, or else Debian forky's, unpacked into the cache.
 *
 * The go command gets what a newer module needs by itself (go.dev/doc/toolchain), if it is 1.21 or newer. GOFLAGS,
 * GOPROXY and what else concerns modules are the machine's. Must not install anything.
 */
import { existsSync } from "node:fs";
import { mkdir, rm } from "node:fs/promises";
import path from "node:path";
import { blazarError } from "../../src/contracts/errors.ts";
import { AptRoot } from "../lib/apt-root.ts";
import { type Cache, contentKey } from "../lib/cache.ts";
import { run } from "../lib/command.ts";
import type { Progress } from "../lib/progress.ts";

/** A go command, and variables that it needs. */
export interface Go {
  readonly program: string;
  readonly env: Readonly<Record<string, string>>;
}

const SUITE = "forky";
const PLACES = ["go", "/usr/local/go/bin/go", "/usr/lib/go/bin/go"];
/** The first that fetches newer toolchains by itself. */
const OLDEST_MINOR = 21;

/** Finds or fetches one. @throws BlazarError `DependencyMissing` that says how to get one */
export async function goToolchain(cache: Cache, progress: Progress): Promise<Go> {
  for (const program of PLACES) if (await usable({ program, env: {} })) return { program, env: {} };
  try {
    return await progress.during("go", `downloads Go of Debian ${SUITE} (65 MB, not installed)`, () =>
      fromDebian(cache),
    );
  } catch (cause) {
    throw blazarError(
      "DependencyMissing",
      "build a Go program",
      "there is no Go 1.21 or newer on this machine",
      {
        subject: "go",
        remedy: `install Go (apt-get install golang-go of Debian trixie or later, or go.dev/dl); Debian ${SUITE}'s could not be had`,
        cause,
      },
    );
  }
}

/** Whether the command is there and new enough. */
export async function usable({ program, env }: Go): Promise<boolean> {
  const said = await run(program, ["version"], { env: { ...env, GOTOOLCHAIN: "local" } }).catch(() => "");
  return newEnough(said);
}

/** @param said what `go version` prints: `go version go1.26.8 linux/amd64` */
export function newEnough(said: string): boolean {
  const [, major = "0", minor = "0"] = /\bgo(\d+)\.(\d+)/.exec(said) ?? [];
  return Number(major) > 1 || (Number(major) === 1 && Number(minor) >= OLDEST_MINOR);
}

/** The package golang-go only points to the newest version's two packages: the program, and the standard library. */
async function fromDebian(cache: Cache): Promise<Go> {
  const apt = await AptRoot.open(path.join(cache.directory, "apt", SUITE), SUITE, "deb");
  const compiler = (await apt.dependencies("golang-go")).find((one) => /^golang-[\d.]+-go$/.test(one)) ?? "";
  const key = contentKey(["1", compiler, await apt.version(compiler)]);
  const directory = await cache.ensure("go", key, async (entry) => {
    const work = path.join(entry, "work");
    await mkdir(work);
    for (const name of [compiler, compiler.replace(/-go$/, "-src")])
      await run("dpkg-deb", ["-x", await apt.download(name, work), entry]);
    await rm(work, { recursive: true });
  });
  const root = path.join(directory, "usr", "lib", compiler.replace(/^golang-(.+)-go$/, "go-$1"));
  const go = { program: path.join(root, "bin", "go"), env: { GOROOT: root } };
  if (!existsSync(go.program) || !(await usable(go)))
    throw blazarError("DependencyMissing", "use Debian's Go", "it does not run here", {
      subject: go.program,
    });
  return go;
}
