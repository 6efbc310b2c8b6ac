/**
 * Which snapshotters' chains images are made of ahead, and how an open chain's layers are named.
 */
import { blazarError } from "../../contracts/errors.ts";
import type { Chain, OpenChain } from "../../contracts/snapshots.ts";
import type { RootfsMount } from "../../contracts/task.ts";

/**
 * The only snapshotter whose chains are directories that all containers of an OCI image share. `native` copies a chain for
 * each container. `erofs` and `blockfile` give disks, and a view of several erofs layers would mount them on the host.
 */
export const SNAPSHOTTER = "overlayfs";

/** The directories of these mounts, the topmost first. Undefined where they are no plain layers. Throws InvalidRootfs. */
export type ReadLower = (mounts: readonly RootfsMount[]) => readonly string[] | undefined;

/** The layers of an open chain. Throws InvalidRootfs. */
export function layersOf(chain: Chain, { mounts }: OpenChain, readLower: ReadLower): readonly string[] {
  const lower = readLower(mounts);
  if (lower !== undefined && lower.length > 0) return lower;
  const reason = `${chain.snapshotter} does not give it as directories`;
  throw blazarError("InvalidRootfs", "find a chain's layers", reason, { subject: chain.name });
}
