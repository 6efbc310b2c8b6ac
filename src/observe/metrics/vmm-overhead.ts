/**
 * What the VMMs of pods use, read from /proc when somebody scrapes and at no other time: proc_pid_stat(5).
 *
 * Only the oldest pods have series of their own, or a node of many pods would fill a Prometheus server. One read takes
 * 20 µs, so the event loop gets its turn after every few.
 */
import { readFileSync } from "node:fs";
import { setImmediate as nextTurn } from "node:timers/promises";
import { parseProcessStat } from "../../lib/processes/processes.ts";
import type { MetricStore } from "./store.ts";

/** A pod whose VMM runs. */
export interface RunningPod {
  readonly namespace: string;
  readonly name: string;
  /** Host pid of the VMM; 0 = none. */
  readonly pid: number;
}

const READS_PER_TURN = 25;
const MILLISECONDS = 1000;

/** Tells anew what each of the first `most` pods uses; `pods` are given oldest first. */
export async function tellVmms(store: MetricStore, pods: readonly RunningPod[], most: number): Promise<void> {
  const running = pods.filter(({ pid }) => pid > 0);
  const used: { readonly labels: { namespace: string; pod: string }; cpu: number; memory: number }[] = [];
  for (const [index, { namespace, name, pid }] of running.slice(0, most).entries()) {
    const stat = usedBy(pid);
    if (stat !== undefined) used.push({ labels: { namespace, pod: name }, ...stat });
    if (index % READS_PER_TURN === READS_PER_TURN - 1) await nextTurn();
  }
  store.clear("blazar_vmm_cpu_seconds_total");
  store.clear("blazar_vmm_resident_memory_bytes");
  for (const { labels, cpu, memory } of used) {
    store.set("blazar_vmm_cpu_seconds_total", labels, cpu);
    store.set("blazar_vmm_resident_memory_bytes", labels, memory);
  }
  store.set("blazar_vmm_hidden", {}, Math.max(0, running.length - most));
}

/** CPU seconds and resident bytes of a process; undefined if there is none. */
export function usedBy(pid: number): { readonly cpu: number; readonly memory: number } | undefined {
  try {
    const stat = parseProcessStat(readFileSync(`/proc/${pid}/stat`, "latin1"));
    return stat && { cpu: stat.cpuMs / MILLISECONDS, memory: stat.residentBytes };
  } catch {
    return undefined;
  }
}
