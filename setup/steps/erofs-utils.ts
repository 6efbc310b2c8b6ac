/**
 * Step: mkfs.erofs from trixie's erofs-utils, unpacked into the cache with the libraries that it needs.
 *
 * Bookworm's own (1.5) fails at names of 255 bytes. Trixie's needs a newer C library than bookworm has, so it brings one:
 * it is started by its own loader (ld.so(8)). Must not be installed, and must not be put before the system's libraries.
 */
import { chmod, copyFile, mkdir, readdir, readlink, rm, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { AptRoot } from "../lib/apt-root.ts";
import { type Cache, contentKey } from "../lib/cache.ts";
import { run } from "../lib/command.ts";
import type { Step } from "./steps.ts";

/** An unpacked mkfs.erofs. */
export interface ErofsUtils {
  /** Directory of the loader, the libraries and the program; nothing else is needed to run it. */
  readonly directory: string;
  /** Program and first arguments of `mkfs.erofs`, by absolute paths within {@link directory}. */
  readonly mkfs: readonly string[];
  /** Directory with a script `mkfs.erofs`, for a PATH. */
  readonly bin: string;
}

const SUITE = "trixie";
const PACKAGE = "erofs-utils";
/** All that the program is linked with, what that is linked with, and libgcc, which ends its threads. */
const LIBRARIES = [
  ...[
    "libc6",
    "libdeflate0",
    "libgcc-s1",
    "liblz4-1",
    "liblzma5",
    "libpcre2-8-0",
    "libselinux1",
    "libuuid1",
    "libxxhash0",
  ],
  ...["libzstd1", "zlib1g"],
];
/** The C library's package has more than is needed. */
const WANTED =
  /^(ld-linux-x86-64|libc|libm|libdeflate|libgcc_s|liblz4|liblzma|libpcre2-8|libselinux|libuuid|libxxhash|libzstd|libz)\.so\./;

export function erofsUtilsStep(cache: Cache): Step<ErofsUtils> {
  const key = contentKey(["2", SUITE, PACKAGE, ...LIBRARIES]);
  const ensure = async (): Promise<ErofsUtils> => {
    const directory = await cache.ensure("erofs-utils", key, (entry) => build(cache, entry));
    return { directory, mkfs: command(directory), bin: path.join(directory, "bin") };
  };
  return {
    name: "erofs-utils",
    why: `downloads Debian ${SUITE}'s ${PACKAGE} and its libraries (5 MB, not installed), which makes disks of image layers`,
    upToDate: async () => (cache.has("erofs-utils", key) ? await ensure() : undefined),
    run: ensure,
  };
}

function command(directory: string): string[] {
  const libraries = path.join(directory, "lib");
  const loader = path.join(libraries, "ld-linux-x86-64.so.2");
  return [loader, "--library-path", libraries, path.join(directory, "mkfs.erofs")];
}

async function build(cache: Cache, entry: string): Promise<void> {
  const work = path.join(entry, "work");
  const unpacked = path.join(work, "unpacked");
  await mkdir(work);
  const apt = await AptRoot.open(path.join(cache.directory, "apt", SUITE), SUITE, "deb");
  for (const name of [PACKAGE, ...LIBRARIES])
    await run("dpkg-deb", ["-x", await apt.download(name, work), unpacked]);
  await copyLibraries(path.join(unpacked, "usr", "lib", "x86_64-linux-gnu"), path.join(entry, "lib"));
  await copyFile(path.join(unpacked, "usr", "bin", "mkfs.erofs"), path.join(entry, "mkfs.erofs"));
  await rm(work, { recursive: true });
  await writeScript(path.join(entry, "bin"));
  const [program = "", ...args] = command(entry);
  await run(program, [...args, "--version"]);
}

async function copyLibraries(from: string, to: string): Promise<void> {
  await mkdir(to);
  for (const entry of await readdir(from, { withFileTypes: true })) {
    if (!WANTED.test(entry.name)) continue;
    const [source, target] = [path.join(from, entry.name), path.join(to, entry.name)];
    if (entry.isSymbolicLink()) await symlink(path.basename(await readlink(source)), target);
    else await copyFile(source, target);
  }
}

/** The entry gets its final name later, so the script finds its neighbours by its own path. */
async function writeScript(bin: string): Promise<void> {
  await mkdir(bin);
  const script = path.join(bin, "mkfs.erofs");
  const lines = [
    "#!/bin/sh",
    'here=$(dirname "$(dirname "$(readlink -f "$0")")")',
    'exec "$here/lib/ld-linux-x86-64.so.2" --library-path "$here/lib" "$here/mkfs.erofs" "$@"',
  ];
  await writeFile(script, `${lines.join("\n")}\n`);
  await chmod(script, 0o755);
}
