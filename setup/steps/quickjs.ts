/**
 * Step: QuickJS, compiled once from Debian's source into a static library for musl and the bytecode compiler.
 *
 * The version is fixed: bytecode and library must match, and only trixie has the source. Debian's patches concern
 * Debian's build and are not needed. Must not strip debug information: stack traces name lines.
 */
import { copyFile, mkdir, readdir, rm, symlink } from "node:fs/promises";
import path from "node:path";
import { AptRoot } from "../lib/apt-root.ts";
import { type Cache, contentKey } from "../lib/cache.ts";
import { run } from "../lib/command.ts";
import type { Step } from "./steps.ts";

/** The compiled engine. */
export interface QuickJs {
  /** Static library, for musl. */
  readonly library: string;
  /** Compiles JavaScript to bytecode as C source. */
  readonly compiler: string;
  /** quickjs.h and quickjs-libc.h. */
  readonly include: string;
  /** Kernel headers, which musl does not bring; for `-idirafter`. */
  readonly kernelHeaders: string;
  /** Identifies all of it, for keys of what is built with it. */
  readonly key: string;
}

const VERSION = "2025.04.26-1";
const SUITE = "trixie";
const UNITS = ["quickjs", "dtoa", "libregexp", "libunicode", "cutils", "quickjs-libc"];
const CFLAGS = [
  "-O2",
  "-fno-pie",
  "-D_GNU_SOURCE",
  `-DCONFIG_VERSION="${VERSION.replace(/-.*/, "").replaceAll(".", "-")}"`,
  "-fwrapv",
  "-ffunction-sections",
  "-fdata-sections",
];
/** Change it when the recipe below changes in a way that its inputs do not show. */
const RECIPE = "1";
const KERNEL_HEADERS: Readonly<Record<string, string>> = {
  linux: "/usr/include/linux",
  asm: "/usr/include/x86_64-linux-gnu/asm",
  "asm-generic": "/usr/include/asm-generic",
};

export function quickJsStep(cache: Cache): Step<QuickJs> {
  const key = contentKey([RECIPE, VERSION, ...CFLAGS]);
  const ensure = async (): Promise<QuickJs> =>
    describe(await cache.ensure("quickjs", key, build(cache)), key);
  return {
    name: "QuickJS",
    why: `downloads Debian's source ${VERSION} and compiles it with musl, the engine of guest agent and keeper`,
    upToDate: async () => (cache.has("quickjs", key) ? await ensure() : undefined),
    run: ensure,
  };
}

function describe(entry: string, key: string): QuickJs {
  return {
    library: path.join(entry, "libquickjs.a"),
    compiler: path.join(entry, "qjsc"),
    include: path.join(entry, "include"),
    kernelHeaders: path.join(entry, "kernel-headers"),
    key,
  };
}

function build(cache: Cache) {
  return async (entry: string): Promise<void> => {
    const work = path.join(entry, "work");
    await mkdir(work);
    await fetchSource(cache, work);
    await mkdir(path.join(entry, "kernel-headers"));
    for (const [name, target] of Object.entries(KERNEL_HEADERS)) {
      await symlink(target, path.join(entry, "kernel-headers", name));
    }
    await compile(work, entry);
    await mkdir(path.join(entry, "include"));
    for (const header of ["quickjs.h", "quickjs-libc.h"]) {
      await copyFile(path.join(work, header), path.join(entry, "include", header));
    }
    await rm(work, { recursive: true });
  };
}

async function fetchSource(cache: Cache, work: string): Promise<void> {
  const apt = await AptRoot.open(path.join(cache.directory, "apt", `${SUITE}-src`), SUITE, "deb-src");
  await apt.downloadSource("quickjs", VERSION, work);
  const archive = (await readdir(work)).find((name) => name.includes(".orig.tar."));
  await run("tar", ["-xf", archive ?? "quickjs.orig.tar.xz", "--strip-components=1"], { cwd: work });
}

async function compile(work: string, entry: string): Promise<void> {
  const unit = (name: string): Promise<string> =>
    run("musl-gcc", [...CFLAGS, "-c", `${name}.c`, "-o", `${name}.o`], { cwd: work });
  // the first takes nearly all of the time: the others share the second core
  const [first, ...others] = UNITS;
  const rest = async (): Promise<void> => {
    for (const name of others) await unit(name);
  };
  await Promise.all([unit(first ?? "quickjs"), rest()]);
  const library = path.join(entry, "libquickjs.a");
  const objects = UNITS.map((name) => `${name}.o`);
  await run("ar", ["rcs", library, ...objects], { cwd: work });
  const link = ["-static", "qjsc.c", library, "-lm", "-o", path.join(entry, "qjsc")];
  await run("musl-gcc", [...CFLAGS, `-DCONFIG_PREFIX="/usr"`, ...link], { cwd: work });
}
