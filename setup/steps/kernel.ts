/**
 * Step: the guest kernel, from bookworm's generic linux-image-amd64: the ELF vmlinux, and modules in load order.
 *
 * It does not depend on the host's kernel. It is the generic one, because Debian's cloud kernel leaves modules out. The package
 * is unpacked, never installed; its version stays until the cache entry is removed. Must not keep the whole package: of
 * 400 MB of modules 5 MB are used.
 */
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import {
  loadOrder,
  MODULES_ON_DEMAND,
  type ModuleSource,
  moduleName,
  moduleTables,
  parseBuiltin,
  WANTED_MODULES,
} from "../../guest/image/modules.ts";
import { extractVmlinux } from "../../guest/image/vmlinux.ts";
import { type BlazarError, blazarError } from "../../src/contracts/errors.ts";
import { AptRoot } from "../lib/apt-root.ts";
import { type Cache, contentKey } from "../lib/cache.ts";
import { run } from "../lib/command.ts";
import type { Step } from "./steps.ts";

/** An unpacked kernel. */
export interface GuestKernel {
  /** The uncompressed ELF kernel. */
  readonly vmlinux: string;
  /**
   * Directory of the chosen modules and of `order`, one file name a line. Its directory `on-demand` has the others, with
   * modules.dep and modules.alias.
   */
  readonly modules: string;
  /** As uname(2) tells it. */
  readonly release: string;
  /** Identifies all of it. */
  readonly key: string;
}

const SUITE = "bookworm";
const META_PACKAGE = "linux-image-amd64";
/** Change it when the recipe below changes in a way that its inputs do not show. */
const RECIPE = "1";

export function kernelStep(cache: Cache): Step<GuestKernel> {
  const key = contentKey([RECIPE, SUITE, META_PACKAGE, ...WANTED_MODULES, "on demand", ...MODULES_ON_DEMAND]);
  const ensure = async (): Promise<GuestKernel> => {
    const entry = await cache.ensure("kernel", key, (directory) => build(cache, directory));
    const release = (await readFile(path.join(entry, "release"), "utf8")).trim();
    return { vmlinux: path.join(entry, "vmlinux"), modules: path.join(entry, "modules"), release, key };
  };
  return {
    name: "guest kernel",
    why: `downloads Debian ${SUITE}'s ${META_PACKAGE} (70 MB, not installed) and takes vmlinux and a few modules out of it`,
    upToDate: async () => (cache.has("kernel", key) ? await ensure() : undefined),
    run: ensure,
  };
}

async function build(cache: Cache, entry: string): Promise<void> {
  const work = path.join(entry, "work");
  await mkdir(work);
  const apt = await AptRoot.open(path.join(cache.directory, "apt", SUITE), SUITE, "deb");
  const name = (await apt.dependencies(META_PACKAGE)).find((one) => /^linux-image-\d/.test(one));
  if (name === undefined) throw noKernel("it depends on no linux-image package");
  const archive = await apt.download(name, work);
  const unpacked = path.join(work, "unpacked");
  await run("dpkg-deb", ["-x", archive, unpacked]);
  const release = name.replace(/^linux-image-/, "");
  const image = await readFile(path.join(unpacked, "boot", `vmlinuz-${release}`));
  await writeFile(path.join(entry, "vmlinux"), await extractVmlinux(image));
  await writeFile(path.join(entry, "release"), `${release}\n`);
  await copyModules(path.join(unpacked, "lib", "modules", release), path.join(entry, "modules"));
  await rm(work, { recursive: true });
}

async function copyModules(tree: string, target: string): Promise<void> {
  const names = await readdir(tree, { recursive: true });
  const files = names.filter((name) => name.endsWith(".ko")).map((name) => path.join(tree, name));
  const source: ModuleSource = {
    builtin: parseBuiltin(await readFile(path.join(tree, "modules.builtin"), "utf8")),
    files: new Map(files.map((file) => [moduleName(file), file])),
    read: (file) => readFile(file),
  };
  const order = await loadOrder(source, WANTED_MODULES);
  await mkdir(target);
  for (const file of order) await copyFile(file, path.join(target, path.basename(file)));
  await writeFile(path.join(target, "order"), order.map((file) => `${path.basename(file)}\n`).join(""));
  await copyOnDemand(source, order, path.join(target, "on-demand"));
}

/** Those that the kernel asks for, but for what is loaded at boot anyway. */
async function copyOnDemand(source: ModuleSource, loaded: readonly string[], target: string): Promise<void> {
  const files = (await loadOrder(source, MODULES_ON_DEMAND)).filter((file) => !loaded.includes(file));
  await mkdir(target);
  for (const file of files) await copyFile(file, path.join(target, path.basename(file)));
  const { dependencies, aliases } = await moduleTables(source, files.map(moduleName));
  await writeFile(path.join(target, "modules.dep"), dependencies);
  await writeFile(path.join(target, "modules.alias"), aliases);
}

function noKernel(reason: string): BlazarError {
  return blazarError("DependencyMissing", "find the kernel package behind", reason, {
    subject: META_PACKAGE,
    remedy: `check with: apt-cache show ${META_PACKAGE} on Debian ${SUITE}`,
  });
}
