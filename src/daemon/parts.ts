/**
 * Where the built parts are (guest kernel, initramfs, keeper, empty layer): as configured, else as set-up's
 * manifest `current.json` in the cache (`BLAZAR_CACHE`, `~/.cache/blazar`) says.
 */
import { access, readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { blazarError } from "../contracts/errors.ts";
import type { Config } from "./config/schema.ts";

/** Absolute paths of everything that a daemon starts or copies. */
export interface Parts {
  readonly keeper: string;
  /** What makes a VMM forkable; undefined = VMs are never forked. */
  readonly forkLibrary: string | undefined;
  readonly kernel: string;
  readonly initramfs: string;
  readonly emptyImage: { readonly image: string; readonly extents: string };
  /** A static busybox, for the pool's rehearsals. */
  readonly busybox: string;
  /** For answers that are worth keeping, such as whether KVM works. */
  readonly cache: string;
}

interface Manifest {
  readonly keeper: string;
  readonly forkLibrary?: string | null;
  readonly vmlinux: string;
  readonly initramfs: string;
  readonly busybox: { readonly binary: string };
  readonly emptyExt4: { readonly image: string; readonly extents: string };
}

/** The cache's directory. */
export function cacheDirectory(): string {
  return process.env["BLAZAR_CACHE"] ?? join(homedir(), ".cache", "blazar");
}

/** Finds every part and checks that it is there. Throws DependencyMissing naming the part and the key. */
export async function locateParts(config: Config): Promise<Parts> {
  const cache = cacheDirectory();
  const built = await readManifest(cache);
  const image = config.storage.empty_image ?? built?.emptyExt4.image;
  const parts = {
    keeper: await present("the keeper", "keeper.binary", config.keeper.binary ?? built?.keeper),
    forkLibrary: config.template.fork
      ? (config.template.fork_library ?? built?.forkLibrary ?? undefined)
      : undefined,
    kernel: await present("the guest kernel", "vmm.kernel", config.vmm.kernel ?? built?.vmlinux),
    initramfs: await present(
      "the guest initramfs",
      "vmm.initramfs",
      config.vmm.initramfs ?? built?.initramfs,
    ),
    emptyImage: {
      image: await present("the empty layer", "storage.empty_image", image),
      extents: await present(
        "the empty layer's extents",
        "storage.empty_image_extents",
        config.storage.empty_image_extents ?? built?.emptyExt4.extents,
      ),
    },
    busybox: await present("a static busybox", "pool.busybox", config.pool.busybox ?? built?.busybox.binary),
    cache,
  };
  return parts;
}

async function readManifest(cache: string): Promise<Manifest | undefined> {
  try {
    return JSON.parse(await readFile(join(cache, "current.json"), "utf8")) as Manifest;
  } catch {
    return undefined;
  }
}

async function present(what: string, key: string, path: string | undefined): Promise<string> {
  const remedy = `run \`npm run setup\`, or set ${key}`;
  const operation = `find ${what}`;
  if (path === undefined) {
    throw blazarError("DependencyMissing", operation, "set-up has not run and no path is configured", {
      remedy,
    });
  }
  try {
    await access(path);
    return path;
  } catch (error) {
    throw blazarError("DependencyMissing", operation, "it is not there", {
      subject: path,
      remedy,
      cause: error,
    });
  }
}
