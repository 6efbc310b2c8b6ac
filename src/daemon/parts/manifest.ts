/**
 * The manifest of the parts that were built: where it is, and what it says.
 *
 * A package has it as `parts.json` in the directory above the bundle, with paths relative to that directory. In a checkout
 * set-up has written it, as `current.json` in the cache: `BLAZAR_CACHE`, or `~/.cache/blazar`. `BLAZAR_CACHE` wins over a package.
 */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** The parts, by absolute paths. What is missing could not be built. */
export interface Manifest {
  readonly keeper: string;
  readonly fileServer: string;
  readonly forkLibrary?: string | null;
  readonly vmlinux: string;
  readonly initramfs: string;
  readonly busybox: { readonly binary: string };
  readonly erofsUtils?: { readonly mkfs: readonly string[]; readonly directory: string } | null;
  readonly passt?: string | null;
  readonly emptyExt4: { readonly image: string; readonly extents: string };
}

/** Name of a package's manifest. */
export const PACKAGE_MANIFEST = "parts.json";
/** Of a package: where the daemon keeps answers. Its unit has CacheDirectory= for it. */
const PACKAGE_CACHE = "/var/cache/blazar";
const PACKAGE_CONFIG = "/etc/blazar/blazar.toml";
/** The bundle's directory; in a checkout's sources there is no manifest above. */
const HERE = dirname(fileURLToPath(import.meta.url));

/** The package's manifest; undefined: this is no package. @param bundle the bundle's directory */
export function packageManifest(bundle = HERE): string | undefined {
  const file = join(dirname(bundle), PACKAGE_MANIFEST);
  return existsSync(file) ? file : undefined;
}

/** The configuration that commands read where none is named: a package's, if it is there. */
export function packageConfig(): string | undefined {
  return packageManifest() !== undefined && existsSync(PACKAGE_CONFIG) ? PACKAGE_CONFIG : undefined;
}

/** A directory for answers that are worth keeping. Other users than root have one of their own. */
export function cacheDirectory(): string {
  const named = process.env["BLAZAR_CACHE"];
  if (named !== undefined) return named;
  const isPackage = packageManifest() !== undefined && process.getuid?.() === 0;
  return isPackage ? PACKAGE_CACHE : join(homedir(), ".cache", "blazar");
}

/** What was built; undefined: nothing. */
export async function builtParts(): Promise<Manifest | undefined> {
  const installed = process.env["BLAZAR_CACHE"] === undefined ? packageManifest() : undefined;
  return await readManifest(installed ?? join(cacheDirectory(), "current.json"));
}

/** Undefined if it is not there. */
export async function readManifest(file: string): Promise<Manifest | undefined> {
  try {
    return absolute(JSON.parse(await readFile(file, "utf8")) as Manifest, dirname(file));
  } catch {
    return undefined;
  }
}

function absolute(manifest: Manifest, directory: string): Manifest {
  const at = (path: string): string => resolve(directory, path);
  const { keeper, fileServer, forkLibrary, vmlinux, initramfs, busybox, erofsUtils, passt, emptyExt4 } =
    manifest;
  return {
    keeper: at(keeper),
    fileServer: at(fileServer),
    forkLibrary: forkLibrary == null ? null : at(forkLibrary),
    vmlinux: at(vmlinux),
    initramfs: at(initramfs),
    busybox: { binary: at(busybox.binary) },
    erofsUtils:
      erofsUtils == null
        ? null
        : { mkfs: erofsUtils.mkfs.map((word) => wordAt(word, at)), directory: at(erofsUtils.directory) },
    passt: passt == null ? null : at(passt),
    emptyExt4: { image: at(emptyExt4.image), extents: at(emptyExt4.extents) },
  };
}

/** A command has options, too. */
function wordAt(word: string, at: (path: string) => string): string {
  return word.startsWith("-") ? word : at(word);
}
