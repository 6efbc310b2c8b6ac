/**
 * Figures that other projects have published, for reference lines only: on their hardware, mostly with KVM.
 *
 * Never part of a ratio or a table of this benchmark.
 */

/** A published figure. */
export interface Published {
  readonly system: string;
  /** In ms, or MiB. */
  readonly value: number;
  readonly note: string;
}

/** What every reference line is labelled with. */
export const PUBLISHED_LABEL = "published, other hardware";

/** Pod and container in series, p50, ms. */
export const PUBLISHED_SERIAL: readonly Published[] = [
  { system: "Kuasar", value: 324, note: "Cloud Hypervisor, KVM; p90 339, p99 365 (n = 1000)" },
  { system: "Kata 2.5.2", value: 900, note: "KVM; p90 922, p99 979" },
];

/** 50 pods at once until all run, p50, ms. */
export const PUBLISHED_PARALLEL: readonly Published[] = [
  { system: "Kuasar", value: 1008, note: "p99 1070" },
  { system: "Kata 2.5.2", value: 1720, note: "p99 1823" },
];

/** At 50 pods, MiB. */
export const PUBLISHED_MEMORY: readonly Published[] = [
  { system: "Kuasar's sandboxer", value: 15, note: "15 MB in all at 50 pods" },
  { system: "Kata's shims", value: 900, note: "18 MB a pod" },
];

/** Others, told in words. */
export const PUBLISHED_ELSEWHERE: readonly string[] = [
  "RunD (ATC'22, 104 cores): 84 ms a start; 50 in parallel 265 ms; 184 to 263 starts a second",
  "Kata with VM templating (RunD's data): 311 ms against 525 ms cold; 50 in parallel 554 ms",
  "CubeSandbox (2026, template, 96 cores / PVM 16 cores): mean 47.8, p50 64.5 ms",
  "Firecracker: at most 125 ms to init, at most 5 MB a VMM; restore about 4 ms, about 28 ms to an agent",
  "containerd-shim-runc-v2: 11 MB RSS a pod",
];
