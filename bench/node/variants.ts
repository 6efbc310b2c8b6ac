/**
 * What is compared: a runtime handler, and for blazar also where the pod's VM comes from.
 *
 * The pod annotation `io.blazar.boot` asks for a path; PodSandboxStatus (verbose, `boot`) tells which one was taken. A
 * path that the daemon does not have is reported as absent, never replaced by another.
 */
import { blazarError } from "../../src/contracts/errors.ts";

/** Where a pod's VM comes from: the pool, the template (by a clone or a fork), a boot. */
export type BootPath = "pool" | "clone" | "cold";

/** One column of a table, one line of a figure. */
export interface Variant {
  /** `pool`, `clone`, `cold`, `blazar` (whatever the daemon chooses), or a handler's name. */
  readonly name: string;
  readonly handler: string;
  readonly annotations: Readonly<Record<string, string>>;
  /** The path that a sample must have taken to count; undefined = any. */
  readonly boot: BootPath | undefined;
  /** `cni`: a pod on a network of CNI's ptp; by default a hostNetwork pod. */
  readonly network?: "cni";
}

/** The handler that is measured against the others. */
export const BLAZAR = "blazar";
/** The handler that every containerd has. */
export const BASELINE = "runc";
/** Ends the names of variants on a network of CNI's. */
export const CNI_SUFFIX = "+cni";
/** Pod annotation that forces a path. */
const BOOT_ANNOTATION = "io.blazar.boot";

const BOOT_PATHS: readonly BootPath[] = ["pool", "clone", "cold"];

/** A handler as it is: for blazar the path that the daemon chooses by itself. */
export function handlerVariant(handler: string): Variant {
  return { name: handler, handler, annotations: {}, boot: undefined };
}

/** The same with a pod on a network of CNI's; its name ends in `+cni`. */
export function cniVariant(handler: string): Variant {
  return { ...handlerVariant(handler), name: `${handler}${CNI_SUFFIX}`, network: "cni" };
}

/** blazar with a forced path. */
export function bootVariant(boot: BootPath): Variant {
  return { name: boot, handler: BLAZAR, annotations: { [BOOT_ANNOTATION]: boot }, boot };
}

/** The variants of `start`: for blazar each path apart, other handlers as they are. */
export function startVariants(handlers: readonly string[]): Variant[] {
  return handlers.flatMap((handler) =>
    handler === BLAZAR ? BOOT_PATHS.map(bootVariant) : [handlerVariant(handler)],
  );
}

/** Reads `--handlers`. Throws InvalidArgument for an empty or doubled name. */
export function parseHandlers(list: string): string[] {
  const names = list.split(",").map((name) => name.trim());
  const bad = names.find((name, index) => name === "" || names.indexOf(name) !== index);
  if (bad === undefined) return names;
  throw blazarError(
    "InvalidArgument",
    "read --handlers",
    bad === "" ? "a name is empty" : `${bad} is there twice`,
    { subject: list, remedy: "give names of containerd's runtime handlers, as in blazar,runc" },
  );
}

/** The path that a pod has taken, out of its status. A daemon that does not say can only boot. */
export function bootPathOf(info: Readonly<Record<string, string>>): BootPath {
  const said = BOOT_PATHS.find((path) => path === info["boot"]);
  return said ?? "cold";
}
