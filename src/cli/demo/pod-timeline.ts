/**
 * Where a pod's start went: what blazard tells of a sandbox in PodSandboxStatus (verbose), as steps in order.
 */
import type { PodSandboxStatusResponse } from "../../rpc/generated/runtime/v1/cri.ts";

export interface PodTimeline {
  /** States of the sandbox's chart on its way up, and the VMM's steps within them. */
  readonly timeline: readonly { readonly step: string; readonly ms: number }[];
  /** `kvm` or `tcg`. */
  readonly acceleration: string;
}

interface Timed {
  readonly step?: string;
  readonly state?: string;
  readonly ms: number;
}

/** Reads the facts; what is not there is left out. */
export function podTimeline({ info }: PodSandboxStatusResponse): PodTimeline {
  return {
    timeline: [...durations(info["timeline"]), ...sinceLast(durations(info["vmmTimeline"]))],
    acceleration: info["acceleration"] ?? "",
  };
}

function durations(text: string | undefined): { step: string; ms: number }[] {
  if (text === undefined) return [];
  const steps = JSON.parse(text) as Timed[];
  return steps.map(({ step, state, ms }) => ({ step: step ?? state ?? "", ms }));
}

/** The VMM counts each step from its launch. */
function sinceLast(steps: readonly { step: string; ms: number }[]): { step: string; ms: number }[] {
  return steps.map(({ step, ms }, index) => ({ step: `vmm: ${step}`, ms: ms - (steps[index - 1]?.ms ?? 0) }));
}
