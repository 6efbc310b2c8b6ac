/**
 * The kernel of an emulated host: bookworm's generic linux-image-amd64, unpacked into the cache, never installed.
 *
 * It is what a Debian node runs, and independent of the machine's own kernel. Of its 390 MB of modules those of a node without
 * hardware stay, with all that they depend on, where modprobe(8) looks for them. The version stays until the entry is removed.
 */
import { cp, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { extractVmlinux } from "../../guest/image/vmlinux.ts";
import { AptRoot } from "../../setup/lib/apt-root.ts";
import { type Cache, contentKey } from "../../setup/lib/cache.ts";
import { run } from "../../setup/lib/command.ts";
import type { Progress } from "../../setup/lib/progress.ts";
import { blazarError } from "../../src/contracts/errors.ts";

/** An unpacked kernel. */
export interface HostKernel {
  /** The uncompressed ELF kernel, which QEMU enters by PVH. */
  readonly vmlinux: string;
  /** As uname(2) tells it. */
  readonly release: string;
  /** Directory with `kernel/`, modules.dep and modules.alias. */
  readonly modules: string;
  readonly key: string;
}

const KIND = "emulated-host-kernel";
const SUITE = "bookworm";
const META_PACKAGE = "linux-image-amd64";
/** Change it when the recipe below changes. */
const RECIPE = "1";

/** Directories of modules that a node in an emulated machine may ask for. */
const KEPT = ["arch", "block", "crypto", "fs", "lib", "mm", "net", "virt"].concat(
  ["block", "char", "dax", "firmware", "md", "scsi", "vhost", "virtio"].map((name) => `drivers/${name}`),
);
/** Of drivers/net what needs no card. */
const KEPT_LINKS = /^drivers\/net\/([^/]+\.ko|(bonding|ipvlan|macvlan|team|vxlan|wireguard)\/.*\.ko)$/;

/** Unpacks it if it is missing: 15 seconds, 70 MB to download. The caller holds the cache's lock. */
export async function hostKernel(cache: Cache, busybox: string, progress: Progress): Promise<HostKernel> {
  const key = contentKey([RECIPE, SUITE, META_PACKAGE, ...KEPT, KEPT_LINKS.source]);
  const fill = () => cache.ensure(KIND, key, (entry) => build(cache, entry, busybox));
  const why = `downloads Debian ${SUITE}'s ${META_PACKAGE} (70 MB, not installed), which the emulated host runs`;
  const entry = cache.has(KIND, key) ? await fill() : await progress.during("host kernel", why, fill);
  const release = (await readFile(join(entry, "release"), "utf8")).trim();
  const modules = join(entry, "lib", "modules", release);
  return { vmlinux: join(entry, "vmlinux"), release, modules, key };
}

async function build(cache: Cache, entry: string, busybox: string): Promise<void> {
  const work = join(entry, "work");
  await mkdir(work);
  const apt = await AptRoot.open(join(cache.directory, "apt", SUITE), SUITE, "deb");
  const name = (await apt.dependencies(META_PACKAGE)).find((one) => /^linux-image-\d/.test(one));
  if (name === undefined)
    throw blazarError(
      "DependencyMissing",
      "find the kernel package",
      "it depends on no linux-image package",
      {
        subject: META_PACKAGE,
        remedy: `check with: apt-cache show ${META_PACKAGE} on Debian ${SUITE}`,
      },
    );
  const release = name.replace(/^linux-image-/, "");
  await run("dpkg-deb", ["-x", await apt.download(name, work), work]);
  const image = await readFile(join(work, "boot", `vmlinuz-${release}`));
  await writeFile(join(entry, "vmlinux"), await extractVmlinux(image));
  await writeFile(join(entry, "release"), `${release}\n`);
  await keepModules(work, entry, { release, busybox });
  await rm(work, { recursive: true });
}

async function keepModules(
  from: string,
  to: string,
  { release, busybox }: { readonly release: string; readonly busybox: string },
): Promise<void> {
  const [source, target] = [from, to].map((root) => join(root, "lib", "modules", release)) as [
    string,
    string,
  ];
  // once over all of them for what each depends on, and once over what stays
  await run(busybox, ["depmod", "-b", from, release]);
  for (const file of keptModules(await readFile(join(source, "modules.dep"), "utf8"))) {
    await mkdir(join(target, file, ".."), { recursive: true });
    await rename(join(source, file), join(target, file));
  }
  for (const name of await readdir(source))
    if (/^modules\.(builtin|order)/.test(name)) await cp(join(source, name), join(target, name));
  await run(busybox, ["depmod", "-b", to, release]);
}

/** Paths of the modules that stay, of modules.dep(5): `kernel/fs/9p/9p.ko: kernel/net/9p/9pnet.ko`. */
export function keptModules(dependencies: string): string[] {
  const kept = new Set<string>();
  for (const line of dependencies.split("\n")) {
    const [file = "", needed = ""] = line.split(":");
    if (!isKept(file.replace(/^kernel\//, ""))) continue;
    for (const each of [file, ...needed.trim().split(/\s+/)]) if (each !== "") kept.add(each);
  }
  return [...kept].sort();
}

function isKept(file: string): boolean {
  return KEPT_LINKS.test(file) || KEPT.some((directory) => file.startsWith(`${directory}/`));
}
