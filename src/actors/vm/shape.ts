/**
 * What a pod's VM has to be like: processors and memory, by the pod's limits and the node's configuration.
 */
import type { SandboxSpec } from "../../contracts/sandbox.ts";
import type { VmShape } from "../../contracts/vm.ts";

/** What the guest's kernel, agent and page tables take of the memory that a pod's limits promise to its containers. */
const GUEST_OVERHEAD_BYTES = 96 * 1024 * 1024;

/** What the pod's limits ask for and the guest's own needs, but never less than configured. */
export function shapeOf(
  { vcpus = 0, memoryBytes = 0 }: Pick<SandboxSpec, "vcpus" | "memoryBytes">,
  defaults: VmShape,
): VmShape {
  const needed = memoryBytes === 0 ? 0 : memoryBytes + GUEST_OVERHEAD_BYTES;
  return { vcpus: Math.max(vcpus, defaults.vcpus), memoryBytes: Math.max(needed, defaults.memoryBytes) };
}
