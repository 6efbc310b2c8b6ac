/**
 * One sandbox of the fake: what its charts, calls and effects would have told, and what is asked of it.
 *
 * A life (lives.ts) moves it. Every entry has the cause that the real history would give it: the call, the transition that began
 * an effect, or the effect that ended.
 */
import { DEADLINES, type DeadlineName } from "../../../src/contracts/deadlines.ts";
import type {
  ChartDefinition,
  ChartKey,
  ChartName,
  ChartState,
  ChartStateDefinition,
  HeldResource,
  HistoryEntry,
  InspectionEvent,
  RunningDeadline,
  SandboxDetail,
  SandboxSummary,
} from "../../../src/contracts/inspection.ts";
import type { SandboxPhase } from "../../../src/contracts/sandbox.ts";

/** As many entries as the real history keeps of a sandbox. */
const MOST_ENTRIES = 256;

/** Fields of a summary that a life sets. */
export type Facts = Pick<
  SandboxSummary,
  "id" | "pod" | "createdAt" | "path" | "pid" | "vcpus" | "memoryBytes" | "containers" | "startMs" | "endedAt"
> & {
  readonly failure?: SandboxSummary["failure"];
  readonly stuck?: string | undefined;
};

interface Chart {
  readonly chart: ChartName;
  state: string;
  since: number;
  /** Id of the transition that has entered the state. */
  entry: number;
}

/** An effect, step or call that goes on. */
export interface Going {
  readonly id: number;
  end(error?: string): void;
}

const PHASES: Readonly<Record<string, SandboxPhase>> = {
  creating: "creating",
  created: "created",
  booting: "booting",
  failing: "stopping",
  ready: "ready",
  stopping: "stopping",
  stopped: "stopped",
  removed: "stopped",
};

export class FakeRecord {
  readonly charts = new Map<ChartKey, Chart>();
  readonly resources = new Map<string, HeldResource>();
  private readonly ended: HistoryEntry[] = [];
  private readonly going = new Map<number, HistoryEntry>();
  private nextId = 1;
  private forgotten = 0;

  constructor(
    public facts: Facts,
    private readonly now: () => number,
    private readonly definitions: readonly ChartDefinition[],
    private readonly tell: (event: InspectionEvent) => void,
  ) {}

  get id(): string {
    return this.facts.id;
  }

  set(facts: Partial<Facts>): void {
    this.facts = { ...this.facts, ...facts };
    this.tellSummary();
  }

  /** Something begins; `end` tells how long it took. */
  begin(
    kind: "call" | "effect" | "step",
    name: string,
    about: { readonly chart?: ChartKey; readonly cause?: number } = {},
  ): Going {
    const entry: HistoryEntry = { id: this.nextId++, kind, name, at: this.now(), ...about };
    this.going.set(entry.id, entry);
    this.tell({ type: "entry", sandboxId: this.id, entry });
    const end = (error?: string) => {
      if (!this.going.delete(entry.id)) return;
      const ms = this.now() - entry.at;
      this.keep({ ...entry, ms, ...(error === undefined ? {} : { error }) });
    };
    return { id: entry.id, end };
  }

  note(text: string, about: { readonly chart?: ChartKey; readonly cause?: number } = {}): void {
    this.keep({ id: this.nextId++, kind: "note", name: text, at: this.now(), ...about });
  }

  /** A chart goes to another state, or is new. Returns the entry's id. */
  move(key: ChartKey, event: string, to: string, about: { cause?: number; error?: string } = {}): number {
    const before = this.charts.get(key);
    const entry: HistoryEntry = {
      ...{ id: this.nextId++, kind: "transition", chart: key, at: this.now(), name: event },
      ...{ from: before?.state ?? "", to, ...about },
    };
    this.charts.set(key, { chart: chartNameOf(key), state: to, since: this.now(), entry: entry.id });
    this.keep(entry);
    this.tellSummary();
    return entry.id;
  }

  /** The chart has ended: it is no longer shown. */
  drop(key: ChartKey): void {
    this.charts.delete(key);
    this.tellSummary();
  }

  hold(kind: string, description: string): void {
    this.resources.set(`${kind} ${description}`, { kind, description, since: this.now() });
  }

  release(kind: string): void {
    for (const [key, resource] of this.resources) if (resource.kind === kind) this.resources.delete(key);
  }

  /** Whatever goes on ends so. */
  endAll(error: string): void {
    for (const entry of [...this.going.values()].reverse()) {
      this.going.delete(entry.id);
      this.keep({ ...entry, ms: this.now() - entry.at, error });
    }
  }

  state(): { readonly path: string; readonly since: number } {
    const sandbox = this.charts.get("sandbox");
    const boot = this.charts.get("boot");
    if (sandbox === undefined) return { path: "creating", since: this.facts.createdAt };
    if (sandbox.state !== "booting" || boot === undefined)
      return { path: sandbox.state, since: sandbox.since };
    return { path: `booting.${boot.state}`, since: boot.since };
  }

  summary(): SandboxSummary {
    const { path, since } = this.state();
    const { failure, stuck, startMs, endedAt, ...facts } = this.facts;
    const outer = path.split(".")[0] ?? "";
    const phase = outer === "stopped" && failure !== undefined ? "failed" : (PHASES[outer] ?? "creating");
    return {
      ...facts,
      ...{ phase, state: path, since },
      ...(endedAt === undefined ? {} : { endedAt }),
      ...(startMs === undefined ? {} : { startMs }),
      ...(stuck === undefined ? {} : { stuck }),
      ...(failure === undefined ? {} : { failure }),
    };
  }

  detail(why: string): SandboxDetail {
    const summary = this.summary();
    return {
      summary,
      charts: [...this.charts].map(([key, chart]) => this.chartState(key, chart)),
      deadlines: this.deadlines(),
      resources: [...this.resources.values()],
      history: [...this.ended, ...this.going.values()],
      forgotten: this.forgotten,
      why,
      info: { state: summary.state, vmm: "qemu 7.2.22, tcg" },
    };
  }

  deadlines(): RunningDeadline[] {
    return [...this.charts].flatMap(([key, { chart, state, since }]) => {
      const definition = this.definitions.find(({ name }) => name === chart);
      return activeStates(definition?.states ?? [], state).flatMap(({ path, deadlines }) =>
        deadlines.filter(isDeadline).map((name) => {
          const { ms, wait } = DEADLINES[name];
          return { name, chart: key, state: path, wait, since, endsAt: since + ms };
        }),
      );
    });
  }

  private chartState(key: ChartKey, { chart, state, since }: Chart): ChartState {
    const active = state.split(".").map((_, index, parts) => parts.slice(0, index + 1).join("."));
    const context =
      chart === "sandbox"
        ? { sandboxId: this.id, pid: this.facts.pid }
        : { of: this.id, deadlines: "default" };
    return { key, chart, active, since, context: JSON.stringify(context) };
  }

  private keep(entry: HistoryEntry): void {
    this.ended.push(entry);
    if (this.ended.length > MOST_ENTRIES) {
      this.ended.shift();
      this.forgotten += 1;
    }
    this.tell({ type: "entry", sandboxId: this.id, entry });
  }

  private tellSummary(): void {
    this.tell({ type: "summary", summary: this.summary() });
  }
}

function activeStates(states: readonly ChartStateDefinition[], path: string): ChartStateDefinition[] {
  return states.flatMap((state) => {
    if (state.path !== path && !path.startsWith(`${state.path}.`)) return [];
    return [state, ...activeStates(state.states, path)];
  });
}

function isDeadline(name: string): name is DeadlineName {
  return Object.hasOwn(DEADLINES, name);
}

function chartNameOf(key: ChartKey): ChartName {
  return (key.split("/")[0] ?? "sandbox") as ChartName;
}
