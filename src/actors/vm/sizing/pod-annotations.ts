/**
 * The annotations that a pod may have for Blazar, all of them: a misspelt one is refused instead of passed over.
 *
 * What each means is where it is read. Those of a container are in oci/spec/annotations.ts.
 */
import { blazarError } from "../../../contracts/errors.ts";
import { BOOT_ANNOTATION } from "../../supply/vm-supply.ts";
import { MEMORY_ANNOTATION, VCPUS_ANNOTATION } from "./sizing.ts";

const PREFIX = "io.blazar.";
/** A pod's annotations are its containers', too. */
const CONTAINERS = ["io.blazar.layer-size"];
const KNOWN = new Set([BOOT_ANNOTATION, VCPUS_ANNOTATION, MEMORY_ANNOTATION, ...CONTAINERS]);

/** Throws InvalidSpec for an annotation that nobody reads. */
export function checkPodAnnotations(annotations: Readonly<Record<string, string>>): void {
  const unknown = Object.keys(annotations).find((name) => name.startsWith(PREFIX) && !KNOWN.has(name));
  if (unknown === undefined) return;
  throw blazarError("InvalidSpec", "read the pod's annotations", "there is no such annotation", {
    subject: unknown,
    remedy: `there are ${[...KNOWN].join(", ")}`,
  });
}
