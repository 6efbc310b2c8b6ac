/**
 * Step: pasta from forky's package passt, unpacked into the cache with the C library that it needs.
 *
 * It connects pods with hostNetwork (src/host/network/host-network/). Bookworm's of 2023 delivers data twice on newer kernels;
 * forky's is the first that can be told to hand the host's own connections to the guest (`--no-splice`). It needs a newer C
 * library than bookworm has, and gets it in its jail. Must not be installed.
 */
import { copyFile, mkdir, rm } from "node:fs/promises";
import path from "node:path";
import { blazarError } from "../../src/contracts/errors.ts";
import { AptRoot } from "../lib/apt-root.ts";
import { type Cache, contentKey, filesForKey } from "../lib/cache.ts";
import { run } from "../lib/command.ts";
import { repoRoot } from "../lib/paths.ts";
import type { Step } from "./steps.ts";

const SUITE = "forky";
const PACKAGES = ["passt", "libc6"];
const PROGRAMS = ["pasta", "pasta.avx2"];
const LIBRARIES = ["ld-linux-x86-64.so.2", "libc.so.6"];
/** What it must be able to do (pasta(1)). */
const OPTIONS = ["--no-splice", "--map-guest-addr", "--dns-host", "--userns"];

/** Preloaded into it. */
const PRELOADED = "blazar-pasta.so";
const FLAGS = [
  ...["-std=gnu11", "-O2", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"],
  ...["-fPIC", "-fvisibility=hidden", "-fno-builtin", "-shared", "-Wl,-z,now", "-s"],
];

/** Yields a directory: programs in `bin`; their loader, their library and what is preloaded into them in `lib`. */
export function passtStep(cache: Cache): Step<string> {
  const source = path.join(repoRoot(), "native", "pasta", "pasta.c");
  const find = async (): Promise<string> =>
    contentKey(["1", SUITE, ...PACKAGES, ...FLAGS, ...(await filesForKey(repoRoot(), [source]))]);
  const ensure = async (key: string): Promise<string> =>
    cache.ensure("passt", key, async (entry) => {
      await unpack(cache, entry);
      await run("gcc", [...FLAGS, source, "-o", path.join(entry, "lib", PRELOADED)]);
    });
  return {
    name: "passt",
    why: `downloads Debian ${SUITE}'s passt and its C library (2 MB, not installed), which connects pods with hostNetwork`,
    upToDate: async () => {
      const key = await find();
      return cache.has("passt", key) ? await ensure(key) : undefined;
    },
    run: async () => {
      const directory = await ensure(await find());
      await cache.prune("passt");
      return directory;
    },
  };
}

async function unpack(cache: Cache, entry: string): Promise<void> {
  const work = path.join(entry, "work");
  const unpacked = path.join(work, "unpacked");
  await mkdir(work);
  const apt = await AptRoot.open(path.join(cache.directory, "apt", SUITE), SUITE, "deb");
  for (const name of PACKAGES) await run("dpkg-deb", ["-x", await apt.download(name, work), unpacked]);
  const usr = path.join(unpacked, "usr");
  const [bin, lib] = [path.join(entry, "bin"), path.join(entry, "lib")];
  await mkdir(bin);
  await mkdir(lib);
  for (const name of PROGRAMS) await copyFile(path.join(usr, "bin", name), path.join(bin, name));
  for (const name of LIBRARIES)
    await copyFile(path.join(usr, "lib", "x86_64-linux-gnu", name), path.join(lib, name));
  await rm(work, { recursive: true });
  await checkOptions(path.join(bin, "pasta"), lib);
}

/** Another version of the package may have dropped one of them. Throws DependencyMissing. */
async function checkOptions(program: string, lib: string): Promise<void> {
  const loader = path.join(lib, "ld-linux-x86-64.so.2");
  const help = await run(loader, ["--argv0", "pasta", "--library-path", lib, program, "--help"]);
  const missing = OPTIONS.filter((option) => !help.includes(option));
  if (missing.length === 0) return;
  throw blazarError(
    "DependencyMissing",
    "find what pasta can do",
    `there is no ${missing.join(" and no ")}`,
    {
      subject: program,
    },
  );
}
