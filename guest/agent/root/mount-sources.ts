/**
 * Where the source of a mount is in the guest: in the share, among the volumes in memory, or on the container's own disk.
 *
 * Runs in the child, while the guest's own root is still there. No symlink is followed on the way to a source.
 */
import * as sys from "sys";
import { check, failure } from "../../../native/runtime/check.ts";
import { blazarError } from "../../../src/contracts/errors.ts";
import { type GuestMount, SHARE_PATHS } from "../../../src/protocol/guest/messages.ts";
import { SHARE, VOLUMES } from "../guest-paths.ts";
import { checkedVolumeName } from "../path-checks.ts";
import { ownVolume } from "../volumes/own-volumes.ts";

/** The parts of a container's root that a source may be in. */
export interface SourceRoots {
  readonly rootfs: string;
  /** Where the container's own volumes are; "" = its disk has no room for them beside the root. */
  readonly ownVolumes: string;
}

/** Mounts whose source is somewhere in the guest, and where the sources of each are. */
const SOURCES: Readonly<Record<string, string>> = {
  bind: SHARE,
  shared: SHARE_PATHS.volumes,
  volume: VOLUMES,
  own: "",
};

export function hasSource({ type }: GuestMount): boolean {
  return Object.hasOwn(SOURCES, type);
}

/** Whether nothing is to be mounted: a root that is a disk by itself has the image's directory on it already. */
export function isInRoot({ type }: GuestMount, { ownVolumes }: SourceRoots): boolean {
  return type === "own" && ownVolumes === "";
}

/** Opens the source of a mount with O_PATH. Throws MountFailed. */
export function openSource({ type, source, destination }: GuestMount, roots: SourceRoots): number {
  if (type === "own") {
    const place = ownVolume(roots.ownVolumes, checkedVolumeName(source), roots.rootfs, destination);
    return check(sys.open(place, sys.O_PATH | sys.O_DIRECTORY | sys.O_NOFOLLOW), "open a volume", place);
  }
  const base = SOURCES[type] ?? SHARE;
  const directory = sys.open(base, sys.O_PATH | sys.O_DIRECTORY);
  if (directory === -sys.ENOENT)
    throw blazarError("MountFailed", "find the source of a mount", "it was not written before", {
      subject: source,
    });
  check(directory, "open the sources of mounts", base);
  const resolve = sys.RESOLVE_BENEATH | sys.RESOLVE_NO_SYMLINKS;
  const found = sys.openat2(directory, source, sys.O_PATH, 0, resolve);
  sys.close(directory);
  if (found < 0) throw failure(found, "MountFailed", "find the source of a mount", source);
  return found;
}
