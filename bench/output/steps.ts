/**
 * Where the time of a start goes, as a few consecutive parts that add up: what blazard tells of its own states, and
 * what is left of each call is containerd's and the wire's.
 *
 * Medians part by part: their sum is close to the median of the whole, not equal to it. The daemon's figures are of
 * whole milliseconds.
 */
import { median } from "../stats/summary.ts";
import type { SeriesSample } from "./results.ts";

export interface Part {
  readonly variant: string;
  readonly part: string;
  readonly ms: number;
}

/** What the daemon's steps are called in the figure; the call that each is a part of. */
const SANDBOX_STEPS: Readonly<Record<string, string>> = {
  creating: "sandbox: provisioning",
  created: "containerd, between Create and Start",
};
const CONTAINER_PREFIX = "create: ";
/** Steps of the VMM lie within the sandbox's states: counted once. */
const WITHIN_OTHERS = "vmm: ";
/** containerd's work, the wire, and for other handlers the call as a whole. */
const REST = ", all else";
/** The order of a start. */
const ORDER = [
  "sandbox: provisioning",
  "containerd, between Create and Start",
  "sandbox: queued",
  "sandbox: adopting",
  "sandbox: forking",
  "sandbox: coldBooting",
  "sandbox: awaitingAgent",
  "sandbox: settingUp",
  `RunPodSandbox${REST}`,
  `CreateContainer${REST}`,
  "container: storage",
  "container: disk",
  "container: stdio",
  "container: clock",
  "container: turn",
  "container: guest",
  `StartContainer${REST}`,
];
/** Parts below this share of every start they are in are one. */
const SMALL = 0.03;
const SMALL_PARTS = "small steps";
const AFTER_THE_START = /^(ready|stopp)/;

/** The parts of each variant's start, in order. */
export function partsOf(samples: readonly SeriesSample[]): Part[] {
  const variants = [...new Set(samples.map(({ variant }) => variant))];
  return variants.flatMap((variant) => {
    const split = samples.filter((sample) => sample.variant === variant).map(splitSample);
    const names = [...new Set(split.flatMap((parts) => [...parts.keys()]))].sort(inOrder);
    return names.map((part) => ({ variant, part, ms: median(split.map((parts) => parts.get(part) ?? 0)) }));
  });
}

/** The parts with the small ones of each variant as one, the last: for a figure. */
export function withoutSmallParts(parts: readonly Part[]): Part[] {
  const total = (variant: string) =>
    parts.reduce((sum, part) => sum + (part.variant === variant ? part.ms : 0), 0);
  const large = new Set(
    parts.filter(({ variant, ms }) => ms >= SMALL * total(variant)).map(({ part }) => part),
  );
  const variants = [...new Set(parts.map(({ variant }) => variant))];
  return variants.flatMap((variant) => {
    const own = parts.filter((part) => part.variant === variant);
    const small = own.filter(({ part }) => !large.has(part)).reduce((sum, { ms }) => sum + ms, 0);
    const kept = own.filter(({ part }) => large.has(part));
    return small === 0 ? kept : [...kept, { variant, part: SMALL_PARTS, ms: small }];
  });
}

/** Compares parts by their place in a start. */
export function inOrder(a: string, b: string): number {
  return placeOf(a) - placeOf(b);
}

function placeOf(part: string): number {
  if (part === SMALL_PARTS) return ORDER.length;
  const place = ORDER.indexOf(part);
  if (place >= 0) return place;
  // a step that is new to this list: before what is left of its call
  return ORDER.indexOf(part.startsWith("sandbox: ") ? `RunPodSandbox${REST}` : `StartContainer${REST}`) - 0.5;
}

/** One sample's parts: each call split into what the daemon tells of it, and the rest. */
function splitSample({ calls, steps }: SeriesSample): Map<string, number> {
  const told = steps.filter(({ step }) => !step.startsWith(WITHIN_OTHERS) && !AFTER_THE_START.test(step));
  const ofContainer = told.filter(({ step }) => step.startsWith(CONTAINER_PREFIX));
  const ofSandbox = told.filter(({ step }) => !step.startsWith(CONTAINER_PREFIX));
  const parts = new Map<string, number>();
  for (const { step, ms } of calls) {
    const inside = step === "RunPodSandbox" ? ofSandbox : step === "StartContainer" ? ofContainer : [];
    for (const each of inside) add(parts, nameOf(each.step), each.ms);
    const rest = ms - inside.reduce((sum, each) => sum + each.ms, 0);
    add(parts, `${step}${REST}`, Math.max(0, rest));
  }
  return parts;
}

function nameOf(step: string): string {
  if (step.startsWith(CONTAINER_PREFIX)) return `container: ${step.slice(CONTAINER_PREFIX.length)}`;
  return SANDBOX_STEPS[step] ?? `sandbox: ${step.replace(/^booting\./, "")}`;
}

function add(parts: Map<string, number>, part: string, ms: number): void {
  parts.set(part, (parts.get(part) ?? 0) + ms);
}
