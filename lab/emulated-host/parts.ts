/**
 * All that an emulated host is booted from, made in the cache where it is missing.
 */
import { Cache } from "../../setup/lib/cache.ts";
import { withLock } from "../../setup/lib/lock.ts";
import type { Progress } from "../../setup/lib/progress.ts";
import type { Artifacts } from "../../setup/steps/artifacts.ts";
import { readTscKhz } from "../../src/vmm/qemu/tcg/tsc.ts";
import type { HostKind } from "./arguments.ts";
import { DEBIAN_NODE, type DebianRecipe, debianImage } from "./debian-image.ts";
import type { HostParts } from "./host.ts";
import { hostInitramfs } from "./initramfs.ts";
import { hostKernel } from "./kernel.ts";

/** @param recipe of the root of a host with systemd */
export async function hostParts(
  built: Artifacts,
  kind: HostKind,
  progress: Progress,
  recipe: DebianRecipe = DEBIAN_NODE,
): Promise<HostParts> {
  const cache = new Cache(built.cache);
  const busybox = built.busybox.binary;
  const waiting = (): void => progress.line("set-up is at work on this cache: waiting for it");
  return await withLock(built.cache, waiting, async () => {
    const kernel = await hostKernel(cache, busybox, progress);
    const initramfs = await hostInitramfs(cache, kernel, busybox);
    const image =
      kind === "systemd"
        ? await debianImage(cache, recipe, { kernel, erofsUtils: built.erofsUtils }, progress)
        : undefined;
    const node = kind === "systemd" && recipe.ownNode === true ? undefined : process.execPath;
    return { kernel, initramfs, image, node, tscKhz: await readTscKhz() };
  });
}
