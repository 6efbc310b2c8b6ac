/**
 * A fake of the port `Inspection`, deterministic: its clock stands still until it is advanced.
 *
 * Pods are started and stopped by a test; whatever happens to them then happens as the clock goes on. See population.ts for a
 * node full of pods in all states.
 */

import { Subject } from "rxjs";
import { blazarError } from "../../../src/contracts/errors.ts";
import type { EventSource } from "../../../src/contracts/event-source.ts";
import type {
  ChartDefinition,
  Inspection,
  InspectionEvent,
  LogName,
  NodeStatus,
  SandboxDetail,
  SandboxSummary,
  SandboxUsage,
  StepFigures,
  WatchFilter,
} from "../../../src/contracts/inspection.ts";
import { KVM_UNWANTED } from "../../../src/contracts/kvm.ts";
import { chartDefinitions } from "../../../src/observe/charts/definitions.ts";
import { why } from "../../../src/observe/why/why.ts";
import { downwards, type Life, type PodPlan, type Teller, upwards } from "./lives.ts";
import { idOf, seeded } from "./random.ts";
import { FakeRecord } from "./record.ts";

/** When the fake's clock begins: 2026-03-01 03:00 UTC. */
export const BEGINNING = Date.UTC(2026, 2, 1, 3, 0, 0);

/** Ended sandboxes that are kept. */
const KEPT = 100;

interface Pod {
  readonly teller: Teller;
  life: Life;
  /** When its life goes on; Infinity = never. */
  due: number;
}

export class FakeInspection implements Inspection {
  private clock = BEGINNING;
  private readonly pods = new Map<string, Pod>();
  private readonly events = new Subject<InspectionEvent>();
  private started = 0;
  /** What the host is short of. */
  shortages: readonly string[] = [];
  troubles: readonly string[] = [];
  readonly version: string = "0.1.0";

  readonly now = (): number => this.clock;

  /** Controller.Create and all that follows. Returns the sandbox's id. */
  startPod(plan: PodPlan): string {
    const id = idOf(`${plan.namespace}/${plan.name}/${this.started++}`);
    const pod = { name: plan.name, namespace: plan.namespace, uid: uidOf(id), attempt: 0 };
    const facts = {
      ...{ id, pod, createdAt: this.clock, path: "" as const, pid: 0 },
      ...{ vcpus: 1, memoryBytes: 256 * 2 ** 20, containers: 0 },
    };
    const record = new FakeRecord(facts, this.now, chartDefinitions(), (event) => this.events.next(event));
    const teller = { record, plan, random: seeded(id), now: this.now };
    this.pods.set(id, { teller, life: upwards(teller), due: this.clock });
    this.advance(0);
    return id;
  }

  /** Controller.Stop: what goes on is given up. */
  stopPod(id: string): void {
    const pod = this.pod(id, "stop the sandbox");
    pod.teller.record.set({ stuck: undefined });
    pod.teller.record.endAll("it was called off");
    const plan = { ...pod.teller.plan, halt: "" };
    pod.life = downwards({ ...pod.teller, plan });
    pod.due = this.clock;
    this.advance(0);
  }

  /** Whatever is due happens, in order. */
  advance(ms: number): void {
    const until = this.clock + ms;
    for (;;) {
      const next = [...this.pods.values()].reduce<Pod | undefined>(
        (first, pod) => (pod.due <= until && (first === undefined || pod.due < first.due) ? pod : first),
        undefined,
      );
      if (next === undefined) break;
      this.clock = Math.max(this.clock, next.due);
      const { value, done } = next.life.next();
      next.due = done === true || value === "halt" ? Number.POSITIVE_INFINITY : this.clock + value;
    }
    this.clock = until;
    this.forget();
  }

  node(): NodeStatus {
    const all = this.list();
    const phases: Record<string, number> = {};
    for (const { phase } of all) phases[phase] = (phases[phase] ?? 0) + 1;
    const starts: Record<string, number> = { pool: 0, fork: 0, clone: 0, boot: 0 };
    for (const { path } of all) if (path !== "") starts[path] = (starts[path] ?? 0) + 1;
    return {
      ...{ version: this.version, pid: 812, startedAt: BEGINNING - 3_600_000, now: this.clock },
      ...{ vmm: "qemu 7.2.22", acceleration: "tcg", phases, starts, kvm: KVM_UNWANTED },
      stuck: all.filter(({ stuck }) => stuck !== undefined).length,
      startsLastMinute: all.filter(({ createdAt }) => createdAt > this.clock - 60_000).length,
      steps: this.steps(),
      pool: { warm: 3, wanted: 4 },
      shortages: this.shortages,
      troubles: this.troubles,
      memoryBytes: 52_428_800,
    };
  }

  async look(): Promise<void> {}

  list(): SandboxSummary[] {
    return [...this.pods.values()].map(({ teller }) => teller.record.summary());
  }

  get(id: string): Promise<SandboxDetail> {
    try {
      const { record } = this.pod(id, "look at the sandbox").teller;
      return Promise.resolve(record.detail(this.why(record)));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  watch({ sandboxId, entries }: WatchFilter): EventSource<InspectionEvent> {
    if (sandboxId !== undefined) this.pod(sandboxId, "watch the sandbox");
    const wanted = (event: InspectionEvent) => {
      if (event.type === "entry" && !entries) return false;
      return sandboxId === undefined || idIn(event) === sandboxId;
    };
    return {
      subscribe: (observer) => {
        observer.next({ type: "reset" });
        for (const summary of this.list())
          if (sandboxId === undefined || summary.id === sandboxId)
            observer.next({ type: "summary", summary });
        return this.events.subscribe({
          next: (event) => {
            if (wanted(event)) observer.next(event);
          },
          complete: () => observer.complete(),
        });
      },
    };
  }

  charts(): readonly ChartDefinition[] {
    return chartDefinitions();
  }

  usage(ids: readonly string[]): Promise<SandboxUsage[]> {
    const running = ids
      .map((id) => this.pod(id, "ask for usage"))
      .filter(({ teller }) => teller.record.facts.pid > 0);
    return Promise.resolve(running.map(({ teller: { record } }) => this.usageOf(record)));
  }

  logs(
    id: string,
    log: LogName,
    { tailBytes, follow }: { readonly tailBytes: number; readonly follow: boolean },
  ): EventSource<Uint8Array> {
    const { record, plan } = this.pod(id, "read a log").teller;
    if (record.facts.endedAt !== undefined && record.facts.failure === undefined)
      throw blazarError("SandboxNotReady", "read a log", "the sandbox has ended, and its logs with it", {
        subject: id,
        remedy: "they are kept of those that have failed",
      });
    const text = new TextEncoder().encode(logText(log, record, plan));
    return {
      subscribe: (observer) => {
        if (tailBytes > 0) observer.next(text.subarray(Math.max(0, text.length - tailBytes)));
        if (!follow || record.facts.endedAt !== undefined) {
          observer.complete();
          return { unsubscribe: () => undefined };
        }
        const events = this.events.subscribe((event) => {
          if (event.type === "forgotten" && event.sandboxId === id) return observer.complete();
          if (event.type !== "summary" || event.summary.id !== id) return;
          observer.next(new TextEncoder().encode(`${log}: ${event.summary.state}\n`));
          if (event.summary.endedAt !== undefined) {
            observer.complete();
            events.unsubscribe();
          }
        });
        return events;
      },
    };
  }

  private pod(id: string, operation: string): Pod {
    const pod = this.pods.get(id);
    if (pod !== undefined) return pod;
    const remedy = "blazar ps lists those that there are";
    throw blazarError("SandboxNotFound", operation, "there is none with this id", { subject: id, remedy });
  }

  /** Ended sandboxes make room for later ones, the oldest first. */
  private forget(): void {
    const ended = [...this.pods.values()].filter(({ teller }) => teller.record.facts.endedAt !== undefined);
    for (const { teller } of ended.slice(0, Math.max(0, ended.length - KEPT))) {
      this.pods.delete(teller.record.id);
      this.events.next({ type: "forgotten", sandboxId: teller.record.id });
    }
  }

  private why(record: FakeRecord): string {
    return why(record.detail(""), {
      now: this.clock,
      shortages: this.shortages,
      troubles: this.troubles,
      charts: this.charts(),
    });
  }

  private usageOf(record: FakeRecord): SandboxUsage {
    const seconds = (this.clock - record.facts.createdAt) / 1000;
    const busy = 0.02 + 0.3 * seeded(`${record.id} usage`)();
    const cpuMs = Math.round(seconds * 1000 * busy);
    const containers = {
      cpuMs,
      memoryBytes: Math.round(busy * 200) * 2 ** 20,
      pids: 1 + record.facts.containers,
    };
    const vmm = { cpuMs: Math.round(cpuMs * 1.4), memoryBytes: containers.memoryBytes + 42 * 2 ** 20 };
    const guest = record.state().path === "ready.running" ? { containers } : {};
    return { sandboxId: record.id, at: this.clock, ...guest, vmm };
  }

  private steps(): StepFigures[] {
    const lengths = new Map<string, number[]>();
    const add = (step: string, ms: number) => lengths.set(step, [...(lengths.get(step) ?? []), ms]);
    for (const { teller } of this.pods.values()) {
      const { startMs } = teller.record.facts;
      if (startMs !== undefined) add("start", startMs);
      for (const entry of teller.record.detail("").history) {
        if (entry.kind !== "effect" || entry.ms === undefined || entry.error !== undefined) continue;
        if (entry.chart === "boot") add(`booting.${entry.name}`, entry.ms);
      }
    }
    return [...lengths].map(([step, all]) => {
      const sorted = [...all].sort((a, b) => a - b);
      const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
      return { step, count: sorted.length, p50: at(0.5), p99: at(0.99) };
    });
  }
}

function idIn(event: InspectionEvent): string | undefined {
  if (event.type === "reset") return undefined;
  return event.type === "summary" ? event.summary.id : event.sandboxId;
}

function uidOf(id: string): string {
  return [id.slice(0, 8), id.slice(8, 12), id.slice(12, 16), id.slice(16, 20), id.slice(20, 32)].join("-");
}

function logText(log: LogName, { id, facts }: FakeRecord, plan: PodPlan): string {
  const words = plan.guestWords === undefined ? "" : `${plan.guestWords}\n`;
  if (log === "vmm") return `qemu-system-x86_64: vm-${id.slice(0, 12)}: pid ${facts.pid}\n`;
  if (log === "agent") return `agent: sandbox ${id.slice(0, 12)} is set up\n${words}`;
  return `[    0.000000] Linux version 6.1.0-44-amd64\n[    0.412000] Run /init as init process\n${words}`;
}
