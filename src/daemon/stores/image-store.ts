/**
 * Opens the store of images that the configuration describes.
 */
import type { ImageStore } from "../../contracts/images.ts";
import type { Keeper } from "../../contracts/keeper.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { SeccompCompiler } from "../../contracts/seccomp.ts";
import { LocalImageStore } from "../../host/storage/images/image-store.ts";
import type { Config } from "../config/schema.ts";
import type { DaemonWorkers } from "../daemon-workers.ts";
import type { Parts } from "../parts/parts.ts";

/** What images are made with. */
export interface ImageStoreHost {
  readonly keeper: Keeper;
  readonly logger: Logger;
  readonly workers: DaemonWorkers;
  readonly seccomp: SeccompCompiler;
  readonly parts: Pick<Parts, "mkfsErofs">;
}

/** Opens the store, which does nothing until it is asked. */
export function openImageStore(
  { daemon, image, vmm }: Pick<Config, "daemon" | "image" | "vmm">,
  { keeper, logger, workers, seccomp, parts }: ImageStoreHost,
): ImageStore {
  // the last of the users is for VMs that are no sandbox's, and for what makes images
  const uid = vmm.first_uid + vmm.uid_count - 1;
  const isRoot = process.getuid?.() === 0;
  return new LocalImageStore({
    keeper,
    logger,
    workers: workers.images,
    mkfs: parts.mkfsErofs,
    seccomp,
    user: isRoot ? { uid, gid: uid } : undefined,
    directory: image.directory,
    stateDirectory: daemon.state_directory,
    diskLimitBytes: image.disk_limit,
    inlineLimitMs: image.inline_limit,
    enabled: image.enabled,
    ...(isRoot ? {} : { unavailable: "only root may mount the layers" }),
  });
}
