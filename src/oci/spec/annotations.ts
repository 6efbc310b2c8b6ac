/**
 * The annotations of a container's spec that Blazar obeys.
 *
 * CRI gives no limit for a container's writable layer: kubelet keeps the ephemeral-storage limit to itself and evicts pods by
 * the usage that it reads. So a pod or a container says it by an annotation. containerd copies those of the pod into each
 * container's spec, if its configuration names them, and the container's own over them.
 */
import { parseSize } from "../../lib/sizes.ts";
import { invalidSpec } from "./schema.ts";

/** What the writable layer may take, such as `512Mi`. */
const LAYER_SIZE_ANNOTATION = "io.blazar.layer-size";
/** A new layer has a few directories already. */
const LEAST_BYTES = 1024 * 1024;

/** Undefined if it is not bounded. Throws InvalidSpec. */
export function layerBytesOf(annotations: Readonly<Record<string, string>>): number | undefined {
  const value = annotations[LAYER_SIZE_ANNOTATION];
  if (value === undefined) return undefined;
  const bytes = parseSize(value);
  if (bytes !== undefined && bytes >= LEAST_BYTES) return bytes;
  const reason = `"${value.slice(0, 80)}" is not a size of at least 1Mi, such as "512Mi"`;
  throw invalidSpec(`annotations["${LAYER_SIZE_ANNOTATION}"]`, reason);
}
