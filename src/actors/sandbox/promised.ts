/**
 * What a pod was promised, once its limits have changed: its spec with the new limits, as a later daemon has to know it.
 *
 * Pure.
 */
import { type PodLimits, processorsOf, type SandboxSpec } from "../../contracts/sandbox.ts";

/** The spec of a pod with these limits and no others. */
export function promised(spec: SandboxSpec, { containers, overhead }: PodLimits): SandboxSpec {
  const { vcpus: _vcpus, memoryBytes: _memory, overheadBytes: _overhead, ...rest } = spec;
  const { cpu, memoryBytes } = containers;
  return {
    ...rest,
    ...(cpu === undefined ? {} : { vcpus: processorsOf(cpu) }),
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
    ...(overhead.memoryBytes === undefined ? {} : { overheadBytes: overhead.memoryBytes }),
  };
}
