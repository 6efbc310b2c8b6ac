/**
 * The initramfs of an emulated host: a static busybox, the modules that its root needs, and the scripts of guest/.
 *
 * What one run differs in is not in it (job.ts), so it stays in the cache.
 */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { type CpioEntry, writeCpio } from "../../guest/image/cpio.ts";
import { loadOrder, moduleName, parseBuiltin } from "../../guest/image/modules.ts";
import { type Cache, contentKey, filesForKey } from "../../setup/lib/cache.ts";
import { repoRoot } from "../../setup/lib/paths.ts";
import type { HostKernel } from "./kernel.ts";

const KIND = "emulated-host-initramfs";

/** What the root's file systems and the streams need; modprobe loads the rest later. */
const BOOT_MODULES = [
  ...["virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay"],
  // the systemd host's root is an image; erofs asks for a crc32c implementation when it mounts
  ...["virtio_blk", "crc32c_generic", "erofs"],
  "virtio_rng",
];

const DIRECTORIES = ["bin", "dev", "lab", "machine", "modules", "newroot", "over", "proc", "sys"];
const SCRIPT_MODE = 0o755;

/** Packs it if it is missing. The caller holds the cache's lock. */
export async function hostInitramfs(cache: Cache, kernel: HostKernel, busybox: string): Promise<string> {
  const directory = join(repoRoot(), "lab", "emulated-host", "guest");
  const scripts = (await readdir(directory)).sort().map((name) => join(directory, name));
  const texts = await filesForKey(directory, scripts);
  const key = contentKey([kernel.key, ...BOOT_MODULES, busybox, ...texts]);
  const entry = await cache.ensure(KIND, key, async (partial) => {
    const modules = await bootModules(kernel);
    await writeFile(join(partial, "initramfs.cpio"), writeCpio(await entries({ busybox, scripts, modules })));
  });
  await cache.prune(KIND);
  return join(entry, "initramfs.cpio");
}

async function bootModules({ modules }: HostKernel): Promise<string[]> {
  const names = await readdir(modules, { recursive: true });
  const files = names.filter((name) => name.endsWith(".ko")).map((name) => join(modules, name));
  const source = {
    builtin: parseBuiltin(await readFile(join(modules, "modules.builtin"), "utf8")),
    files: new Map(files.map((file) => [moduleName(file), file])),
    read: (file: string) => readFile(file),
  };
  return loadOrder(source, BOOT_MODULES);
}

async function entries({
  busybox,
  scripts,
  modules,
}: {
  readonly busybox: string;
  readonly scripts: readonly string[];
  readonly modules: readonly string[];
}): Promise<CpioEntry[]> {
  const file = async (path: string, from: string, mode = 0o644): Promise<CpioEntry> => {
    return { type: "file", path, mode, data: await readFile(from) };
  };
  const order = modules.map((each) => `${basename(each)}\n`).join("");
  return [
    ...DIRECTORIES.map((path): CpioEntry => ({ type: "directory", path, mode: 0o755 })),
    // the kernel opens the console for /init before a devtmpfs can be mounted
    { type: "characterDevice", path: "dev/console", mode: 0o600, major: 5, minor: 1 },
    await file("lab/busybox", busybox, SCRIPT_MODE),
    ...(await Promise.all(scripts.map((each) => file(`lab/${basename(each)}`, each, SCRIPT_MODE)))),
    { type: "symlink", path: "init", target: "lab/init.sh" },
    { type: "file", path: "modules/order", mode: 0o644, data: Buffer.from(order) },
    ...(await Promise.all(modules.map((each) => file(`modules/${basename(each)}`, each)))),
  ];
}
