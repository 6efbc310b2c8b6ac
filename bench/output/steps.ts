/**
 * Where the time of a start goes, as a few consecutive parts that add up: what blazard tells of its own states, and
 * what is left of each call is containerd's and the wire's.
 *
 * Medians part by part: their sum is close to the median of the whole, not equal to it.
 */
import { median } from "../stats/summary.ts";
import type { SeriesSample } from "./results.ts";

export interface Part {
  readonly variant: string;
  readonly part: string;
  readonly ms: number;
}

/** blazard's own chart on its way up; what it is called in the figure. */
const STATES: Readonly<Record<string, string>> = {
  creating: "sandbox: provisioning",
  created: "containerd between Create and Start",
};
const VMM_PREFIX = "vmm: ";

/** The parts of each variant's start, in order. */
export function partsOf(samples: readonly SeriesSample[]): Part[] {
  const variants = [...new Set(samples.map(({ variant }) => variant))];
  return variants.flatMap((variant) => {
    const split = samples.filter((sample) => sample.variant === variant).map(splitSample);
    const names = [...new Set(split.flatMap((parts) => [...parts.keys()]))];
    return names.map((part) => ({ variant, part, ms: median(split.map((parts) => parts.get(part) ?? 0)) }));
  });
}

/** One sample's parts. Steps of the VMM lie within the sandbox's states and are left out. */
function splitSample({ calls, steps }: SeriesSample): Map<string, number> {
  const parts = new Map<string, number>();
  const states = steps.filter(({ step }) => !step.startsWith(VMM_PREFIX) && !step.startsWith("ready"));
  for (const { step, ms } of states) {
    const name = STATES[step] ?? `sandbox: ${step.replace(/^booting\./, "")}`;
    parts.set(name, (parts.get(name) ?? 0) + ms);
  }
  const told = states.reduce((sum, { ms }) => sum + ms, 0);
  for (const { step, ms } of calls) {
    const inside = step === "RunPodSandbox" ? told : 0;
    parts.set(inside > 0 ? `${step}: the rest` : step, Math.max(0, ms - inside));
  }
  return parts;
}
