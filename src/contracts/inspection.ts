/**
 * The inspection port: what operators may ask of a running daemon, and what a journal or a bundle is read into.
 *
 * Plain data in an operator's words; no protobuf and no wire status. Times are milliseconds since the epoch, durations are
 * milliseconds; both may have fractions. Everything is redacted before it gets here: no secret and no value of an environment
 * variable. Strings may come from a guest: whoever shows them makes them harmless for its medium.
 */

import type { EventSource } from "./event-source.ts";
import type { KvmFinding } from "./kvm.ts";
import type { SandboxPhase } from "./sandbox.ts";

/**
 * A chart of a sandbox, by a key that is unique in the sandbox: `sandbox`, `boot`, `container/<id>`, or
 * `process/<container>/<exec>`, of which the init process has an empty exec id.
 */
export type ChartKey = "sandbox" | "boot" | `container/${string}` | `process/${string}/${string}`;

/** The charts that there are; each has a definition ({@link ChartDefinition}). */
export type ChartName = "sandbox" | "boot" | "container" | "process";

/**
 * One thing that happened to a sandbox. Ids count from 1 in each sandbox, in the order in which things began.
 *
 * - `call`: a call of containerd, such as `Controller.Start` or `Task.Create`;
 * - `transition`: a chart went from one state to another;
 * - `effect`: what a state waited for, such as `provision` or `adopt`;
 * - `step`: a part of an effect that someone else has done: `guest sandbox.setup`, `worker mount`, `keeper spawn`;
 * - `note`: something worth to know, such as a fallback; it took no time.
 */
export interface HistoryEntry {
  readonly id: number;
  readonly kind: "call" | "transition" | "effect" | "step" | "note";
  /** Id of the entry that has caused it; absent if nothing of the sandbox has, as for an event of the VMM. */
  readonly cause?: number;
  readonly chart?: ChartKey;
  /** When it began. */
  readonly at: number;
  /** How long it took. Absent for what takes no time, and while it goes on. */
  readonly ms?: number;
  /** Call: its name. Transition: the event. Effect, step: its name. Note: the text. */
  readonly name: string;
  /** Transition: paths of the states left and entered, such as `booting` and `ready.running`; `from` is "" at first. */
  readonly from?: string;
  readonly to?: string;
  /** How it failed, in a sentence. Absent: it did not. */
  readonly error?: string;
}

/** A wait that goes on. */
export interface RunningDeadline {
  /** As in the configuration's `[deadlines]`. */
  readonly name: string;
  readonly chart: ChartKey;
  /** Path of the state that waits. */
  readonly state: string;
  /** What is waited for, in a sentence. */
  readonly wait: string;
  readonly since: number;
  readonly endsAt: number;
}

/** A chart as it is now. */
export interface ChartState {
  readonly key: ChartKey;
  readonly chart: ChartName;
  /** Paths of the active states, outer ones first: `["ready", "ready.running"]`. */
  readonly active: readonly string[];
  readonly since: number;
  /** What the chart knows, as JSON; redacted. */
  readonly context: string;
}

/** A sandbox in one row. */
export interface SandboxSummary {
  readonly id: string;
  readonly pod: {
    readonly name: string;
    readonly namespace: string;
    readonly uid: string;
    readonly attempt: number;
  };
  readonly phase: SandboxPhase;
  /** Path of the innermost state, also of the boot's chart: `booting.adopting`, `ready.running`. */
  readonly state: string;
  /** Since when it is in this state. */
  readonly since: number;
  readonly createdAt: number;
  /** Absent: it has not ended. One that has ended is kept for a while. */
  readonly endedAt?: number;
  /** From the beginning of Start until it was ready. */
  readonly startMs?: number;
  /** Where its VM came from; "" while it has none. */
  readonly path: "" | "pool" | "fork" | "clone" | "boot";
  /** Host pid of the VMM; 0 = none. */
  readonly pid: number;
  readonly vcpus: number;
  readonly memoryBytes: number;
  /** Containers that are there. */
  readonly containers: number;
  /** Why it counts as stuck, in a sentence; absent: it does not. */
  readonly stuck?: string;
  /** Why it is on its way out; absent: it is not, or was asked to. */
  readonly failure?: { readonly code: string; readonly message: string };
}

/** A thing on the host that the sandbox holds. */
export interface HeldResource {
  readonly kind: string;
  /** What it is and which. */
  readonly description: string;
  readonly since: number;
}

/** All about one sandbox. */
export interface SandboxDetail {
  readonly summary: SandboxSummary;
  readonly charts: readonly ChartState[];
  readonly deadlines: readonly RunningDeadline[];
  readonly resources: readonly HeldResource[];
  /** In the order in which things ended; what goes on is at the end, without `ms`. */
  readonly history: readonly HistoryEntry[];
  /** Entries that were there and had to make room. */
  readonly forgotten: number;
  /** The paragraph of `blazar why`. */
  readonly why: string;
  /** Further facts, as `crictl inspectp` shows them. */
  readonly info: Readonly<Record<string, string>>;
}

/** Where time went, over the starts that are remembered. */
export interface StepFigures {
  /** Path of a state, such as `booting.adopting`; `start` is the whole, from Start to ready. */
  readonly step: string;
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
}

/** The daemon and its node. */
export interface NodeStatus {
  readonly version: string;
  readonly pid: number;
  readonly startedAt: number;
  readonly now: number;
  readonly vmm: string;
  readonly acceleration: string;
  /** Undefined: it is not known yet, or the daemon does not tell. */
  readonly kvm: KvmFinding | undefined;
  /** Sandboxes by phase. */
  readonly phases: Readonly<Record<string, number>>;
  readonly stuck: number;
  /** Starts since the daemon's own, by path. */
  readonly starts: Readonly<Record<string, number>>;
  /** Starts in the last minute. */
  readonly startsLastMinute: number;
  readonly steps: readonly StepFigures[];
  readonly pool: { readonly warm: number; readonly wanted: number };
  /** What the host is short of, a sentence each; empty if of nothing. */
  readonly shortages: readonly string[];
  /** What of the daemon's own parts does not do what it should, a sentence each. */
  readonly troubles: readonly string[];
  readonly memoryBytes: number;
}

/** What a watcher is told. */
export type InspectionEvent =
  /** First of all, and again when the watcher was too slow and has missed something: forget what is known. */
  | { readonly type: "reset" }
  /** A sandbox is new, or one of its summary's fields has changed. After a reset there is one for each. */
  | { readonly type: "summary"; readonly summary: SandboxSummary }
  /** Something happened, or what went on has ended: then the entry is told again, with `ms`. */
  | { readonly type: "entry"; readonly sandboxId: string; readonly entry: HistoryEntry }
  /** An ended sandbox is no longer kept. */
  | { readonly type: "forgotten"; readonly sandboxId: string };

export interface WatchFilter {
  /** Only this one; absent: all. */
  readonly sandboxId?: string;
  /** Entries are told, not only summaries. */
  readonly entries: boolean;
}

/** A transition that a state has. */
export interface ChartTransition {
  /** `sandbox.stop`, `done`, `failed`, `after provision`, or "" for one that is always taken. */
  readonly on: string;
  readonly guard?: string;
  /** Paths of the states that it leads to; empty: it only acts. */
  readonly targets: readonly string[];
  readonly actions: readonly string[];
}

/** A state of a chart's definition. */
export interface ChartStateDefinition {
  readonly path: string;
  readonly name: string;
  readonly description: string;
  readonly type: "atomic" | "compound" | "parallel" | "final";
  /** Path of the state that is entered first; "" if it has none. */
  readonly initial: string;
  /** Effects that run while the state is active. */
  readonly effects: readonly string[];
  /** Names of the deadlines that end it. */
  readonly deadlines: readonly string[];
  readonly transitions: readonly ChartTransition[];
  readonly states: readonly ChartStateDefinition[];
}

/** A chart as its machine defines it. */
export interface ChartDefinition {
  readonly name: ChartName;
  readonly title: string;
  readonly initial: string;
  readonly states: readonly ChartStateDefinition[];
  readonly transitions: readonly ChartTransition[];
}

/** What a pod uses now, and what its VM costs beside it. */
export interface SandboxUsage {
  readonly sandboxId: string;
  readonly at: number;
  /** By the guest's count; absent while it cannot be asked. */
  readonly containers?: { readonly cpuMs: number; readonly memoryBytes: number; readonly pids: number };
  /** Of the VMM's process; absent while there is none. `memoryBytes` is its resident memory. */
  readonly vmm?: { readonly cpuMs: number; readonly memoryBytes: number };
}

/** The logs that a sandbox has on the host. */
export type LogName = "vmm" | "console" | "agent";

/** What operators may ask. Unknown ids are refused with `SandboxNotFound` by every method. */
export interface Inspection {
  /** What of it takes a look is as of the last {@link look}. */
  node(): NodeStatus;
  /** Looks at the daemon's own parts now; takes a second at most, and never rejects. */
  look(): Promise<void>;
  /** Those that run and those that have ended and are kept, oldest first. */
  list(): SandboxSummary[];
  get(id: string): Promise<SandboxDetail>;
  /** A watcher that is too slow is told `reset`; what waits for it is bounded. */
  watch(filter: WatchFilter): EventSource<InspectionEvent>;
  charts(): readonly ChartDefinition[];
  /** One after the other, those that run. */
  usage(ids: readonly string[]): Promise<SandboxUsage[]>;
  /** Bytes of a log, from its end: at most `tailBytes`, then, with `follow`, what comes. Ends with the sandbox. */
  logs(
    id: string,
    log: LogName,
    options: { readonly tailBytes: number; readonly follow: boolean },
  ): EventSource<Uint8Array>;
}
