/**
 * Gives back leases on images that no journal names: a daemon that died had taken them and not written them down yet.
 *
 * Comes after the recovery of an earlier daemon's sandboxes, and before anything takes a lease. A lease that is left costs
 * disk space until the next boot, and nothing else.
 */
import type { ImageStore } from "../../contracts/images.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { Recovered } from "../resources/recovery.ts";

/** Never rejects. @param recovered what the recovery has said */
export async function releaseLostLeases(
  recovered: readonly Pick<Recovered, "left" | "keptAside">[],
  images: Pick<ImageStore, "releaseLost">,
  logger: Logger,
): Promise<void> {
  // what cannot be read may name one
  if (recovered.some(({ keptAside }) => keptAside !== undefined)) return;
  const left = recovered.flatMap(({ left }) => left);
  const holders = left.flatMap((resource) => (resource.kind === "rootfs" ? [resource.plan.containerId] : []));
  try {
    const lost = await images.releaseLost(new Set(holders));
    if (lost.length > 0)
      logger.warn(
        { holders: lost },
        "gave back images that a previous daemon had taken and not written down",
      );
  } catch (err) {
    logger.warn({ err }, "images of a previous daemon may be kept until the next boot");
  }
}
