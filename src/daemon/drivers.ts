/**
 * The table of VMM drivers: how each is made as the configuration wants it.
 *
 * `vmm.driver` names one of them. A name without a line in the table is a type error, and so is a line without a name.
 */
import type { Keeper } from "../contracts/keeper.ts";
import type { Logger } from "../contracts/logger.ts";
import type { SeccompCompiler } from "../contracts/seccomp.ts";
import type { VmmDriver } from "../contracts/vmm.ts";
import { HostLayerImages } from "../host/storage/layer-images.ts";
import { sealMemory } from "../host/templates/sealed-memory.ts";
import { QemuDriver } from "../vmm/qemu/driver.ts";
import type { Config } from "./config/schema.ts";
import type { DaemonWorkers } from "./daemon-workers.ts";
import type { Parts } from "./parts/parts.ts";

/** What drivers are made of. */
export interface DriverParts {
  readonly config: Config;
  readonly keeper: Keeper;
  readonly logger: Logger;
  readonly workers: DaemonWorkers;
  readonly seccomp: SeccompCompiler;
  readonly parts: Parts;
}

type DriverName = Config["vmm"]["driver"];

const DRIVERS = { qemu } satisfies Record<DriverName, (parts: DriverParts) => VmmDriver>;

/** The driver that the configuration names. */
export function configuredDriver(parts: DriverParts): VmmDriver {
  return DRIVERS[parts.config.vmm.driver](parts);
}

function qemu({ config, keeper, logger, workers, seccomp, parts }: DriverParts): QemuDriver {
  // the last of the users is for VMs that are no sandbox's
  const users = { firstUid: config.vmm.first_uid, count: config.vmm.uid_count };
  const uid = users.firstUid + users.count - 1;
  return new QemuDriver({
    keeper,
    seccomp,
    binary: config.vmm.binary,
    kernel: parts.kernel,
    initramfs: parts.initramfs,
    acceleration: config.vmm.acceleration,
    deadlines: config.deadlines,
    logger,
    sendFile: (message) => workers.rootfs.run("sendFile", message),
    cacheDirectory: parts.cache,
    ownUser: process.getuid?.() === 0 ? { uid, gid: uid } : undefined,
    users,
    sealMemory: (file) => sealMemory(workers.templateMemory, file),
    images: new HostLayerImages(workers.rootfs, parts.emptyImage),
    translatedCodeBytes: config.vmm.translated_code,
    forkLibrary: parts.forkLibrary,
    forks: config.template.fork,
  });
}
