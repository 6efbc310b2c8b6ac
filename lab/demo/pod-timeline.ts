/**
 * Where a pod's start went: what blazard tells of a sandbox in PodSandboxStatus (verbose), as steps in order.
 */
import { readFile } from "node:fs/promises";
import type { PodSandboxStatusResponse } from "../../src/rpc/generated/runtime/v1/cri.ts";

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
    timeline: [...durations(info["timeline"]), ...sinceLast("vmm", durations(info["vmmTimeline"]))],
    acceleration: info["acceleration"] ?? "",
  };
}

function durations(text: string | undefined): { step: string; ms: number }[] {
  if (text === undefined) return [];
  const steps = JSON.parse(text) as Timed[];
  return steps.map(({ step, state, ms }) => ({ step: step ?? state ?? "", ms }));
}

/** blazard's steps of a container's creation, out of its log; each is counted from the start of the creation. */
export async function creationSteps(
  logFile: string,
  containerId: string,
): Promise<{ step: string; ms: number }[]> {
  const lines = (await readFile(logFile, "utf8")).split("\n");
  const line = lines.find((each) => each.includes(containerId) && each.includes('"steps"'));
  if (line === undefined) return [];
  const { steps } = JSON.parse(line) as { steps: Readonly<Record<string, number>> };
  const counted = Object.entries(steps).map(([step, ms]) => ({ step, ms }));
  return sinceLast("create", counted);
}

/** Each step counted from the one before, instead of from the first one's start. */
function sinceLast(
  prefix: string,
  steps: readonly { step: string; ms: number }[],
): { step: string; ms: number }[] {
  return steps.map(({ step, ms }, index) => ({
    step: `${prefix}: ${step}`,
    ms: ms - (steps[index - 1]?.ms ?? 0),
  }));
}
