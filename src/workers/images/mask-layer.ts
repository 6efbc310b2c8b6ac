/**
 * The names of the layer that hides a container's disk image from the container.
 *
 * The image lies in the snapshot's upperdir, so that containerd counts it. An upperdir with files is mounted as a layer,
 * and the image would show in the container's root. A whiteout in a layer above covers it (overlayfs.rst). The planner
 * lists this layer and the worker makes it. Must not import libc.ts: the main thread uses this file.
 */
import path from "node:path";

/** The disk image in the snapshot's upperdir: the writable layer of the guest's overlay. */
export const UPPER_IMAGE = ".blazar-upper.ext4";

/** Where the layer is in the container's directory. */
export function maskLayer(directory: string): string {
  return path.join(directory, "mask");
}
