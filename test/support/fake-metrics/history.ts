/** Entries of a sandbox's life as the history tells them, for tests of listeners. */
import type { ErrorCode } from "../../../src/contracts/errors.ts";
import type { HistoryListener } from "../../../src/contracts/history.ts";
import type { HistoryEntry } from "../../../src/contracts/inspection.ts";

/** Tells entries of one sandbox, numbered in the order in which they begin. */
export class ToldHistory {
  private last = 0;
  private now = 1_000_000;

  constructor(
    private readonly listener: HistoryListener,
    readonly id: string,
  ) {}

  /** Time passes. */
  pass(ms: number): void {
    this.now += ms;
  }

  begin(entry: Pick<HistoryEntry, "kind" | "name" | "chart" | "cause">, traceparent?: string): HistoryEntry {
    const begun: HistoryEntry = { ...entry, id: ++this.last, at: this.now };
    this.listener.began(this.id, begun, traceparent);
    return begun;
  }

  end(begun: HistoryEntry, error?: { readonly text: string; readonly code: ErrorCode }): void {
    const ended = {
      ...begun,
      ms: this.now - begun.at,
      ...(error === undefined ? {} : { error: error.text }),
    };
    this.listener.ended(this.id, ended, error?.code);
  }

  /** A chart goes from one state to another; returns the entry's id. */
  transition(
    chart: NonNullable<HistoryEntry["chart"]>,
    name: string,
    from: string,
    to: string,
    cause?: number,
  ): number {
    const id = ++this.last;
    const entry = { id, kind: "transition", chart, at: this.now, name, from, to } as const;
    this.listener.ended(this.id, cause === undefined ? entry : { ...entry, cause });
    return id;
  }

  /** A part told afterwards. */
  part(name: string, cause: number, at: number, ms: number): void {
    this.listener.ended(this.id, { id: ++this.last, kind: "step", name, cause, at, ms });
  }

  remove(): void {
    this.listener.removed(this.id);
  }
}

/** The life of a pod up to ready: a clone that failed, then a boot of 1.2 s. */
export function toldStart(history: ToldHistory, traceparent?: string): void {
  const create = history.begin({ kind: "call", name: "Controller.Create" }, traceparent);
  history.transition("sandbox", "sandbox.create", "", "creating", create.id);
  const provision = history.begin({ kind: "effect", name: "provision", chart: "sandbox", cause: 2 });
  history.pass(8);
  history.end(provision);
  history.transition("sandbox", "done", "creating", "created", provision.id);
  history.end(create);
  const start = history.begin({ kind: "call", name: "Controller.Start" }, traceparent);
  const booting = history.transition("sandbox", "sandbox.start", "created", "booting", start.id);
  history.transition("boot", "start", "", "queued", booting);
  history.transition("boot", "done", "queued", "cloning", booting);
  history.pass(300);
  history.transition("boot", "after launch", "cloning", "booting", booting);
  history.transition("boot", "done", "booting", "awaitingAgent.listening", booting);
  const settingUp = history.transition("boot", "done", "awaitingAgent.listening", "settingUp", booting);
  const setUp = history.begin({ kind: "effect", name: "setUpGuest", chart: "boot", cause: settingUp });
  const asked = history.begin({ kind: "step", name: "guest sandbox.setup", cause: setUp.id });
  history.pass(900);
  history.part("guest: names", asked.id, asked.at + 100, 50);
  history.end(asked);
  history.end(setUp);
  const ready = history.transition("boot", "done", "settingUp", "ready", setUp.id);
  history.transition("sandbox", "done", "booting", "ready.running", ready);
  history.end(start);
}
