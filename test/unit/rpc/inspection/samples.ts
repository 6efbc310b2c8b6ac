/**
 * One sandbox with every field of the inspection contract filled, and a port whose watchers a test drives.
 */
import { Subject } from "rxjs";
import { blazarError } from "../../../../src/contracts/errors.ts";
import type { EventSource } from "../../../../src/contracts/event-source.ts";
import type {
  ChartDefinition,
  Inspection,
  InspectionEvent,
  LogName,
  NodeStatus,
  SandboxDetail,
  SandboxSummary,
  WatchFilter,
} from "../../../../src/contracts/inspection.ts";

export const SUMMARY: SandboxSummary = {
  id: "s1",
  pod: { name: "web", namespace: "shop", uid: "u-1", attempt: 2 },
  phase: "failed",
  state: "stopped",
  since: 1_700_000_000_500.25,
  createdAt: 1_700_000_000_000,
  endedAt: 1_700_000_001_000,
  startMs: 312.5,
  path: "pool",
  pid: 42,
  vcpus: 2,
  memoryBytes: 3 * 2 ** 31,
  containers: 1,
  stuck: "it waits for the VMM",
  failure: { code: "VmmExited", message: "cannot run: it ended" },
};

/** Everything that may be absent is. */
export const BARE: SandboxSummary = {
  id: "s2",
  pod: { name: "", namespace: "", uid: "", attempt: 0 },
  phase: "creating",
  state: "creating",
  since: 1,
  createdAt: 1,
  path: "",
  pid: 0,
  vcpus: 0,
  memoryBytes: 0,
  containers: 0,
};

export const DETAIL: SandboxDetail = {
  summary: SUMMARY,
  charts: [
    { key: "sandbox", chart: "sandbox", active: ["ready", "ready.running"], since: 2, context: '{"pid":42}' },
    { key: "process/c1/", chart: "process", active: ["running"], since: 3, context: "{}" },
  ],
  deadlines: [{ name: "launch", chart: "boot", state: "booting", wait: "It.", since: 5, endsAt: 60_005 }],
  resources: [{ kind: "directory", description: "/run/blazar/sandboxes/s1", since: 4 }],
  history: [
    { id: 1, kind: "call", at: 1, ms: 2.25, name: "Controller.Create" },
    { id: 2, kind: "transition", cause: 1, chart: "sandbox", at: 1, name: "", from: "", to: "creating" },
    { id: 3, kind: "effect", cause: 2, chart: "container/c1", at: 1, name: "create", error: "no" },
    { id: 4, kind: "note", at: 0, name: "\u001b[31m<b>é\n" },
  ],
  forgotten: 7,
  why: "It is ready.",
  info: { vm: "fork", timeline: "[]" },
};

export const CHART: ChartDefinition = {
  name: "boot",
  title: "Boot",
  initial: "queued",
  transitions: [{ on: "done", targets: [], actions: ["tell"] }],
  states: [
    {
      path: "queued",
      name: "queued",
      description: "It waits.",
      type: "compound",
      initial: "queued.inner",
      effects: ["acquire"],
      deadlines: ["startQueue"],
      transitions: [{ on: "after startQueue", guard: "late", targets: ["failed"], actions: [] }],
      states: [
        {
          path: "queued.inner",
          name: "inner",
          description: "",
          type: "final",
          initial: "",
          effects: [],
          deadlines: [],
          transitions: [],
          states: [],
        },
      ],
    },
  ],
};

export const NODE: NodeStatus = {
  version: "1.2.3",
  pid: 7,
  startedAt: 1,
  now: 2.5,
  vmm: "qemu 10.0",
  acceleration: "tcg",
  kvm: { state: "absent", reason: "there is no /dev/kvm", remedy: "load kvm_intel" },
  phases: { ready: 3 },
  stuck: 1,
  starts: { pool: 2, boot: 1 },
  startsLastMinute: 3,
  steps: [{ step: "start", count: 3, p50: 300.5, p99: 900 }],
  pool: { warm: 1, wanted: 2 },
  shortages: ["memory is short"],
  troubles: ["the keeper (pid 7) does not answer"],
  memoryBytes: 5 * 2 ** 31,
};

/** Tells its watchers what a test says. */
export class ScriptedInspection implements Inspection {
  readonly watched: WatchFilter[] = [];
  readonly asked: unknown[] = [];
  readonly log = new Subject<Uint8Array>();
  events = new Subject<InspectionEvent>();
  left = 0;

  node = () => NODE;
  look = async () => undefined;
  list = () => [BARE, SUMMARY];
  charts = () => [CHART];

  get(id: string): Promise<SandboxDetail> {
    if (id === DETAIL.summary.id) return Promise.resolve(DETAIL);
    return Promise.reject(
      blazarError("SandboxNotFound", "find the sandbox", "no such sandbox", { subject: id }),
    );
  }

  watch(filter: WatchFilter): EventSource<InspectionEvent> {
    this.watched.push(filter);
    return {
      subscribe: (observer) => {
        observer.next({ type: "reset" });
        for (const summary of this.list()) observer.next({ type: "summary", summary });
        const subscription = this.events.subscribe(observer);
        subscription.add(() => this.left++);
        return subscription;
      },
    };
  }

  async usage(ids: readonly string[]) {
    this.asked.push(ids);
    const containers = { cpuMs: 1.5, memoryBytes: 2 ** 33, pids: 3 };
    return [
      { sandboxId: "s1", at: 1, containers, vmm: { cpuMs: 2, memoryBytes: 4 } },
      { sandboxId: "s2", at: 1 },
    ];
  }

  logs(id: string, log: LogName, options: { readonly tailBytes: number; readonly follow: boolean }) {
    this.asked.push({ id, log, ...options });
    return this.log;
  }
}
