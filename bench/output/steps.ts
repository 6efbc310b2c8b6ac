/**
 * The parts of a start, in order, which add up to its time: blazard's own steps, and the rest of each call.
 *
 * The rest is containerd's and the wire's. Each part has its own median, so their sum is only close to the median of the
 * whole. A step of a sandbox is named by the path of its chart's state; the names of earlier charts are known, too,
 * because older results are drawn again. The daemon reports whole milliseconds.
 */
import { median } from "../stats/summary.ts";
import type { SeriesSample } from "./results.ts";

export interface Part {
  readonly variant: string;
  readonly part: string;
  readonly ms: number;
}

/** Names in the figure for states of the sandbox's chart. All others keep their own, without `booting.`. */
const SANDBOX_STEPS: Readonly<Record<string, string>> = {
  creating: "sandbox: provisioning",
  created: "containerd, between Create and Start",
  // before the chart vm-boot has told its first state
  booting: "sandbox: queued",
};
const CONTAINER_PREFIX = "create: ";
/** The VMM's steps lie within the sandbox's states, and must not be counted twice. */
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
  "sandbox: cloning",
  "sandbox: booting",
  // its name in results before the chart vm-boot
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
/** Parts that are below this share of every start become one part. */
const SMALL = 0.03;
const SMALL_PARTS = "small steps";
/** States in which a start is over. */
const AFTER_THE_START = /^(booting\.)?(ready|stopp|failed)/;

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
  // a step that the list does not know comes before the rest of its call
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
