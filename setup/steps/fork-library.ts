/**
 * Step: the library that makes a VMM forkable (native/fork), preloaded into the host's QEMU.
 *
 * It is the only native part that is built for the host's libc and not for musl. The C must be free of warnings.
 */
import { readdir } from "node:fs/promises";
import path from "node:path";
import { type Cache, contentKey, filesForKey } from "../lib/cache.ts";
import { run } from "../lib/command.ts";
import { repoRoot } from "../lib/paths.ts";
import type { Step } from "./steps.ts";

const KIND = "fork-library";
const NAME = "vmm-fork.so";
const FLAGS = [
  ...["-std=gnu11", "-O2", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"],
  ...["-fPIC", "-fvisibility=hidden", "-shared", "-Wl,-z,now", "-s"],
];

/** The step; yields the library's path. */
export function forkLibraryStep(cache: Cache): Step<string> {
  const source = path.join(repoRoot(), "native", "fork");
  const files = async (): Promise<string[]> =>
    (await readdir(source)).sort().map((name) => path.join(source, name));
  const find = async (): Promise<string> =>
    contentKey(["1", ...FLAGS, ...(await filesForKey(repoRoot(), await files()))]);
  const ensure = async (key: string): Promise<string> => {
    const directory = await cache.ensure(KIND, key, async (partial) => {
      const units = (await files()).filter((file) => file.endsWith(".c"));
      await run("gcc", [...FLAGS, ...units, "-o", path.join(partial, NAME)]);
    });
    return path.join(directory, NAME);
  };
  return {
    name: "fork library",
    why: "compiles native/fork, by which VMMs are forked",
    upToDate: async () => {
      const key = await find();
      return cache.has(KIND, key) ? await ensure(key) : undefined;
    },
    run: async () => {
      const library = await ensure(await find());
      await cache.prune(KIND);
      return library;
    },
  };
}
