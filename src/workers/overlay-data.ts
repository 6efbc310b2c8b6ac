/**
 * The data string of a read-only overlay mount: Documentation/filesystems/overlayfs.rst, mount(2).
 *
 * mount(2) cuts data off at 4,095 bytes in silence, and an overlay cut at a layer's border mounts without the
 * rest. So long lists are told relative to the layers' common parent, and what is still too long is refused
 * before anything is made. Pure; the worker and the planner must agree, so both use this.
 */
import path from "node:path";
import { blazarError } from "../contracts/errors.ts";

/** One page less the terminating NUL. */
export const MOUNT_DATA_LIMIT = 4095;
/** OVL_MAX_STACK of the kernel. */
export const OVERLAY_LAYERS_LIMIT = 500;

/** How to mount: the data, and the directory to do it in if its paths are relative. */
export interface OverlayData {
  readonly data: string;
  readonly directory: string | undefined;
}

/** @param lower at least two absolute paths, the topmost first. Throws InvalidRootfs, MountOptionsTooLong. */
export function overlayData(lower: readonly string[], subject: string): OverlayData {
  if (lower.length > OVERLAY_LAYERS_LIMIT) {
    throw blazarError(
      "InvalidRootfs",
      "stack the layers",
      `the image has ${lower.length} layers and the kernel's overlay takes ${OVERLAY_LAYERS_LIMIT}`,
      { subject, remedy: "squash the image" },
    );
  }
  const absolute = lowerOption(lower);
  if (Buffer.byteLength(absolute) <= MOUNT_DATA_LIMIT) return { data: absolute, directory: undefined };
  // the topmost one is the container's own, far from the image's: its path stays as it is
  const [top = "/", ...others] = lower;
  const directory = commonParent(others);
  const relative = lowerOption([top, ...others.map((layer) => path.relative(directory, layer))]);
  const bytes = Buffer.byteLength(relative);
  if (bytes <= MOUNT_DATA_LIMIT) return { data: relative, directory };
  throw blazarError(
    "MountOptionsTooLong",
    "stack the layers",
    `the overlay's options for ${lower.length} layers take ${bytes} bytes even relative to ${directory}, ` +
      `and mount(2) takes ${MOUNT_DATA_LIMIT}`,
    { subject, remedy: "squash the image, or give containerd's root a shorter path" },
  );
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
