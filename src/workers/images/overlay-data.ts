/**
 * The data string of a read-only overlay mount: overlayfs.rst of the kernel, mount(2).
 *
 * mount(2) cuts data off after 4,095 bytes and says nothing. An overlay that is cut between two layers mounts without
 * the others. So a long list has paths relative to a common parent, and a list that is still too long is refused
 * before anything is made. Pure: the planner and the worker both use it, so they agree.
 */
import path from "node:path";
import { blazarError } from "../../contracts/errors.ts";

/** One page without the terminating NUL. */
export const MOUNT_DATA_LIMIT = 4095;
/** OVL_MAX_STACK of the kernel. */
export const OVERLAY_LAYERS_LIMIT = 500;

/** The data, and the directory that its relative paths start in; undefined if they are absolute. */
export interface OverlayData {
  readonly data: string;
  readonly directory: string | undefined;
}

/** @param lower at least two absolute paths, the topmost first. Throws InvalidRootfs, MountOptionsTooLong. */
export function overlayData(lower: readonly string[], subject: string): OverlayData {
  if (lower.length > OVERLAY_LAYERS_LIMIT) {
    const reason = `the image has ${lower.length} layers and the kernel's overlay takes ${OVERLAY_LAYERS_LIMIT}`;
    throw blazarError("InvalidRootfs", "stack the layers", reason, { subject, remedy: "squash the image" });
  }
  const absolute = lowerOption(lower);
  if (Buffer.byteLength(absolute) <= MOUNT_DATA_LIMIT) return { data: absolute, directory: undefined };
  // the topmost layer is the container's own and lies elsewhere than the image's: its path stays absolute
  const [top = "/", ...others] = lower;
  const directory = commonParent(others);
  const relative = lowerOption([top, ...others.map((layer) => path.relative(directory, layer))]);
  const bytes = Buffer.byteLength(relative);
  if (bytes <= MOUNT_DATA_LIMIT) return { data: relative, directory };
  const reason =
    `the overlay's options for ${lower.length} layers take ${bytes} bytes even relative to ${directory}, ` +
    `and mount(2) takes ${MOUNT_DATA_LIMIT}`;
  const remedy = "squash the image, or give containerd's root a shorter path";
  throw blazarError("MountOptionsTooLong", "stack the layers", reason, { subject, remedy });
}

function lowerOption(layers: readonly string[]): string {
  return `lowerdir=${layers.map(escapeLayer).join(":")}`;
}

/** Splits an overlay's `lowerdir` value as the kernel does. */
export function splitLayers(value: string): string[] {
  const layers: string[] = [];
  let layer = "";
  for (let at = 0; at < value.length; at++) {
    if (value[at] === ":") {
      layers.push(layer);
      layer = "";
    } else {
      if (value[at] === "\\" && at + 1 < value.length) at++;
      layer += value[at];
    }
  }
  return [...layers, layer];
}

/** `:` separates layers, `,` options, and `\` escapes both. */
export function escapeLayer(layer: string): string {
  return layer.replace(/[\\:,]/g, "\\$&");
}

/** The deepest directory that is above every one of the absolute `paths`. */
export function commonParent(paths: readonly string[]): string {
  const [first = "/", ...others] = paths.map((each) => path.dirname(each));
  let parent = first;
  for (const other of others) {
    while (parent !== "/" && other !== parent && !other.startsWith(`${parent}/`))
      parent = path.dirname(parent);
  }
  return parent;
}
