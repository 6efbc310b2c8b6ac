/**
 * Layers as a user namespace sees them: idmapped mounts (mount_setattr(2), MOUNT_ATTR_IDMAP).
 *
 * The files stay as they are on their disk, where they belong to root and others; through such a mount they belong to the
 * namespace's root and others. An overlay keeps its own copies of its layers' mounts, so they are needed only while it is
 * mounted. Works with EROFS and ext4, not with 9p or, in this kernel, with tmpfs.
 */
import * as sys from "sys";
import { check, failure } from "../../../native/runtime/check.ts";
import { makeDirectories } from "../../../native/runtime/files.ts";

/** Calls `use` with the paths of mapped layers, which are gone afterwards. Throws MountFailed. */
export function withMappedLayers(
  layers: readonly string[],
  place: string,
  userNamespace: number,
  use: (mapped: readonly string[]) => void,
): void {
  const mapped: string[] = [];
  try {
    for (const layer of layers) {
      const target = `${place}${mapped.length}`;
      makeDirectories(target);
      mapped.push(target);
      mountMapped(layer, target, userNamespace);
    }
    use(mapped);
  } finally {
    for (const target of mapped) {
      sys.umount2(target, sys.MNT_DETACH);
      sys.rmdir(target);
    }
  }
}

function mountMapped(layer: string, target: string, userNamespace: number): void {
  const tree = check(
    sys.openTree(sys.AT_FDCWD, layer, sys.OPEN_TREE_CLONE),
    "clone the mount of a layer",
    layer,
  );
  try {
    const attributes = sys.MOUNT_ATTR_IDMAP;
    const result = sys.mountSetattr(tree, "", sys.AT_EMPTY_PATH, attributes, 0, 0, userNamespace);
    if (result < 0) throw failure(result, "MountFailed", "map the ids of a layer", layer);
    const moved = sys.moveMount(tree, "", sys.AT_FDCWD, target, sys.MOVE_MOUNT_F_EMPTY_PATH);
    check(moved, "mount a layer with mapped ids", layer);
  } finally {
    sys.close(tree);
  }
}
