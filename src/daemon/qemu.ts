/**
 * The QEMU driver as the configuration wants it.
 */
import type { Keeper } from "../contracts/keeper.ts";
import type { Logger } from "../contracts/logger.ts";
import { HostLayerImages } from "../host/storage/layer-images.ts";
import { sealMemory } from "../host/templates/sealed-memory.ts";
import { QemuDriver } from "../vmm/qemu/driver.ts";
import type { Config } from "./config/schema.ts";
import type { DaemonWorkers } from "./daemon-workers.ts";
import type { Parts } from "./parts.ts";

export interface QemuOptions {
  readonly config: Config;
  readonly keeper: Keeper;
  readonly logger: Logger;
}

export function qemuDriver(
  { config, keeper, logger }: QemuOptions,
  workers: DaemonWorkers,
  parts: Parts,
): QemuDriver {
  // the last of the users is for VMs that are no sandbox's
  const uid = config.vmm.first_uid + config.vmm.uid_count - 1;
  return new QemuDriver({
    keeper,
    binary: config.vmm.binary,
    kernel: parts.kernel,
    initramfs: parts.initramfs,
    acceleration: config.vmm.acceleration,
    deadlines: config.deadlines,
    logger,
    cacheDirectory: parts.cache,
    ownUser: process.getuid?.() === 0 ? { uid, gid: uid } : undefined,
    sealMemory: (file) => sealMemory(workers.templateMemory, file),
    images: new HostLayerImages(workers.rootfs, parts.emptyImage),
    forkLibrary: parts.forkLibrary,
  });
}
