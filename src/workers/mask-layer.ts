/**
 * The layer that hides a container's own disk image from it: names only.
 *
 * The image lies in the snapshot's upperdir, so that containerd counts it. Where that upperdir has files of its own
 * it is mounted as a layer, and the image would show in the root: a whiteout above it (a character device 0:0,
 * overlayfs.rst) covers it. The planner lists the layer, the worker makes it. Must not import libc.ts.
 */
import path from "node:path";

/** The guest overlay's upper, in the snapshot's upperdir. */
export const UPPER_IMAGE = ".blazar-upper.ext4";

/** The masking layer's place in the container's directory. */
export function maskLayer(directory: string): string {
  return path.join(directory, "mask");
}
