/**
 * The steps of a pod's start, in order, as blazard reports them: in PodSandboxStatus (verbose) and in its log.
 *
 * A step of the sandbox is named by the path of its state, such as `booting.forking`. Must not depend on the names:
 * they change with the charts, and old results keep the old ones.
 */
import { readFile } from "node:fs/promises";
import type { PodSandboxStatusResponse } from "../../src/rpc/generated/runtime/v1/cri.ts";

export interface PodTimeline {
  /** The states of the sandbox's chart on its way up, then the VMM's steps, which lie within these. */
  readonly timeline: readonly { readonly step: string; readonly ms: number }[];
  /** `kvm` or `tcg`. */
  readonly acceleration: string;
}

interface Timed {
  readonly step?: string;
  readonly state?: string;
  readonly ms: number;
}

/** Reads the steps out of the status; those that are missing are left out. */
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

/** The steps of a container's creation, out of blazard's log; none if the log does not have them. */
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

/** From the time since the start to the time since the step before. */
function sinceLast(
  prefix: string,
  steps: readonly { step: string; ms: number }[],
): { step: string; ms: number }[] {
  return steps.map(({ step, ms }, index) => ({
    step: `${prefix}: ${step}`,
    ms: ms - (steps[index - 1]?.ms ?? 0),
  }));
}
