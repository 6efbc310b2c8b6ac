/**
 * Finds the built parts: guest kernel, initramfs, keeper, file server, empty layer.
 *
 * A path in the configuration wins. Otherwise the manifest says where the part is: a package's, or set-up's (manifest.ts).
 */
import { access } from "node:fs/promises";
import { blazarError } from "../../contracts/errors.ts";
import type { MkfsErofs } from "../../host/storage/images/image-builder.ts";
import type { Config } from "../config/schema.ts";
import { builtParts, cacheDirectory, type Manifest } from "./manifest.ts";

/** Absolute paths of everything that a daemon starts or copies. */
export interface Parts {
  readonly keeper: string;
  readonly fileServer: string;
  /** The library that makes a VMM forkable, and for clones; undefined: VMs are never forked. */
  readonly forkLibrary: string | undefined;
  readonly kernel: string;
  readonly initramfs: string;
  readonly emptyImage: { readonly image: string; readonly extents: string };
  /** Undefined: no images are made. */
  readonly mkfsErofs: MkfsErofs | undefined;
  /** Directory with `bin/pasta` and what it needs in `lib`; undefined: pods with hostNetwork get no network. */
  readonly passt: string | undefined;
  /** A static busybox, for the pool's rehearsals. */
  readonly busybox: string;
  /** A directory for answers that are worth keeping, such as whether KVM works. */
  readonly cache: string;
}

/** Finds every part and checks that it is there. Throws DependencyMissing naming the part and the key. */
export async function locateParts(config: Config): Promise<Parts> {
  const { keeper, vmm, storage, network, pool, template, image } = config;
  const cache = cacheDirectory();
  const built = await builtParts();
  const extents = storage.empty_image_extents ?? built?.emptyExt4.extents;
  return {
    keeper: await present("the keeper", "keeper.binary", keeper.binary ?? built?.keeper),
    fileServer: await present(
      "the file server",
      "storage.file_server",
      storage.file_server ?? built?.fileServer,
    ),
    forkLibrary: template.fork_library ?? built?.forkLibrary ?? undefined,
    kernel: await present("the guest kernel", "vmm.kernel", vmm.kernel ?? built?.vmlinux),
    initramfs: await present("the guest initramfs", "vmm.initramfs", vmm.initramfs ?? built?.initramfs),
    emptyImage: {
      image: await present(
        "the empty layer",
        "storage.empty_image",
        storage.empty_image ?? built?.emptyExt4.image,
      ),
      extents: await present("the empty layer's extents", "storage.empty_image_extents", extents),
    },
    mkfsErofs: mkfsErofs(image.mkfs, built),
    passt: network.passt ?? built?.passt ?? undefined,
    busybox: await present("a static busybox", "pool.busybox", pool.busybox ?? built?.busybox.binary),
    cache,
  };
}

/** A program of the host's needs its libraries; set-up's brings its own. */
function mkfsErofs(configured: string | undefined, built: Manifest | undefined): MkfsErofs | undefined {
  if (configured !== undefined)
    return { command: [configured], needs: ["/usr", "/bin", "/lib", "/lib64", configured] };
  const utils = built?.erofsUtils ?? undefined;
  return utils === undefined ? undefined : { command: utils.mkfs, needs: [utils.directory] };
}

async function present(what: string, key: string, path: string | undefined): Promise<string> {
  const remedy = `install the package anew, or run \`npm run setup\` in a checkout, or set ${key}`;
  const missing = (reason: string, about: { readonly subject?: string; readonly cause?: unknown }) =>
    blazarError("DependencyMissing", `find ${what}`, reason, { ...about, remedy });
  if (path === undefined)
    throw missing("there is no package, set-up has not run, and no path is configured", {});
  try {
    await access(path);
    return path;
  } catch (cause) {
    throw missing("it is not there", { subject: path, cause });
  }
}
