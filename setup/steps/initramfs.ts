/**
 * Step: the guest's initramfs, rebuilt when the agent, the modules or busybox change.
 *
 * guest/image/initramfs.ts says what is in it. Must stay uncompressed: under software emulation, decompression costs
 * more than it saves.
 */
import { readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { writeCpio } from "../../guest/image/cpio.ts";
import { initramfsEntries, type ModulesOnDemand } from "../../guest/image/initramfs.ts";
import { type Cache, contentKey, filesForKey } from "../lib/cache.ts";
import { repoRoot } from "../lib/paths.ts";
import type { Busybox } from "./busybox.ts";
import type { GuestKernel } from "./kernel.ts";
import type { Program } from "./program.ts";
import type { Step } from "./steps.ts";

/** What the image is made of. */
export interface InitramfsParts {
  readonly agent: Program;
  readonly kernel: GuestKernel;
  readonly busybox: Busybox;
}

export async function initramfsStep(cache: Cache, parts: InitramfsParts): Promise<Step<string>> {
  const root = repoRoot();
  const recipe = ["cpio.ts", "initramfs.ts", "module-signature.ts"].map((name) =>
    path.join(root, "guest", "image", name),
  );
  const sources = await filesForKey(root, recipe);
  const key = contentKey([parts.agent.key, parts.kernel.key, parts.busybox.key, ...sources]);
  const ensure = async (): Promise<string> => {
    const entry = await cache.ensure("initramfs", key, (directory) => build(directory, parts));
    return path.join(entry, "initramfs.cpio");
  };
  return {
    name: "initramfs",
    why: "packs agent, kernel modules and the built-in root file system",
    upToDate: async () => (cache.has("initramfs", key) ? await ensure() : undefined),
    run: async () => {
      const image = await ensure();
      await cache.prune("initramfs");
      return image;
    },
  };
}

async function build(entry: string, parts: InitramfsParts): Promise<void> {
  const { modules, release } = parts.kernel;
  const order = lines(await readFile(path.join(modules, "order"), "utf8"));
  const entries = initramfsEntries({
    agent: await readFile(parts.agent.binary),
    modules: await Promise.all(
      order.map(async (name) => ({ name, data: await readFile(path.join(modules, name)) })),
    ),
    onDemand: { release, ...(await onDemand(path.join(modules, "on-demand"))) },
    busybox: await readFile(parts.busybox.binary),
    applets: lines(await readFile(parts.busybox.applets, "utf8")),
  });
  await writeFile(path.join(entry, "initramfs.cpio"), writeCpio(entries));
}

async function onDemand(directory: string): Promise<Omit<ModulesOnDemand, "release">> {
  const names = (await readdir(directory)).filter((name) => name.endsWith(".ko")).sort();
  const read = async (name: string) => ({ name, data: await readFile(path.join(directory, name)) });
  const table = (name: string) => readFile(path.join(directory, name), "utf8");
  const tables = { dependencies: await table("modules.dep"), aliases: await table("modules.alias") };
  return { modules: await Promise.all(names.map(read)), tables };
}

function lines(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}
