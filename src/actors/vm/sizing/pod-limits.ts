/**
 * New limits of a pod that runs: what becomes of them in the guest and on the host, and which its VM cannot hold.
 *
 * Pure. A VM has the size that it was started with (sizing.ts); limits are raised up to that.
 */
import { blazarError } from "../../../contracts/errors.ts";
import { type CpuLimit, type PodLimits, processorsOf, type SandboxSpec } from "../../../contracts/sandbox.ts";
import type { OwnLimits } from "../../../contracts/storage.ts";
import { mebibytes, roomFor, type VmSize, wholeMebibytes } from "./sizing.ts";

/** As kubelet has it. */
const PERIOD = 100_000;

type Promised = Pick<SandboxSpec, "id" | "vcpus" | "memoryBytes">;

/**
 * What of the limits holds for the pod as a whole. Kubelet sums up the limits that its containers have; the sum bounds the pod only
 * if each of them has one, and then kubelet limits the pod's control group, too.
 */
export function bounding({ containers, overhead }: PodLimits, group: OwnLimits): PodLimits {
  return {
    containers: {
      ...(group.cpu && containers.cpu !== undefined ? { cpu: containers.cpu } : {}),
      ...(group.memory && containers.memoryBytes !== undefined
        ? { memoryBytes: containers.memoryBytes }
        : {}),
    },
    overhead,
  };
}

/** The files of the pod's cgroup in the guest (cgroup-v2.rst). */
export function guestLimits({ containers: { cpu, memoryBytes } }: PodLimits): Record<string, string> {
  return {
    "cpu.max": cpu === undefined ? `max ${PERIOD}` : `${cpu.quota} ${cpu.period}`,
    "memory.max": memoryBytes === undefined ? "max" : String(memoryBytes),
  };
}

/** What the pod's cgroup in the guest has from the start on. Its processors are limited on the host. */
export function firstLimits({ memoryBytes }: Promised): Record<string, string> {
  return memoryBytes === undefined ? {} : { "memory.max": String(memoryBytes) };
}

/** Of the VMM's group on the host: what the containers may have, and the overhead. */
export function hostCpuLimit({ containers, overhead }: PodLimits): CpuLimit | undefined {
  const { cpu } = containers;
  if (cpu === undefined || overhead.cpu === undefined) return cpu;
  const more = (overhead.cpu.quota * cpu.period) / overhead.cpu.period;
  return { quota: cpu.quota + Math.ceil(more), period: cpu.period };
}

/**
 * What the VM could not hold when it was started was told then, and is no reason to refuse a limit that is no higher.
 * @throws BlazarError ResourceExhausted that says what the VM has
 */
export function checkHeld(limits: PodLimits, size: VmSize, before: Promised): void {
  const { cpu, memoryBytes } = limits.containers;
  const room = roomFor(size.memoryBytes);
  if (memoryBytes !== undefined && memoryBytes > Math.max(room, before.memoryBytes ?? 0))
    throw beyond(
      before.id,
      `the limit would be ${mebibytes(memoryBytes)} of memory, and containers can use ${wholeMebibytes(room)} of its VM`,
    );
  if (cpu !== undefined && processorsOf(cpu) > Math.max(size.vcpus, before.vcpus ?? 0))
    throw beyond(
      before.id,
      `the limit would be ${cpu.quota / cpu.period} processors, and its VM has ${size.vcpus}`,
    );
}

function beyond(subject: string, reason: string) {
  const remedy =
    "make the pod anew, for its VM gets its size when it starts; or give it room to grow from the start, by io.blazar.memory and io.blazar.vcpus";
  return blazarError("ResourceExhausted", "resize the pod", reason, { subject, remedy });
}
