/**
 * The history of one sandbox, from its making until nobody remembers it.
 *
 * Owns what is known of it: entries, charts, and what its owner tells. After its end it is plain data, without the actors.
 */
import type { ErrorCode } from "../../contracts/errors.ts";
import type { CallFacts, HistorySubject, OwnHistory, SandboxFacts, Span } from "../../contracts/history.ts";
import type { ChartKey, HistoryEntry } from "../../contracts/inspection.ts";
import { boundedText } from "./bounded-text.ts";
import { type ChartMove, type ChartObserver, ChartRecorder, type ChartView } from "./chart-recorder.ts";
import { earlierEntries, earlierOrigin } from "./earlier.ts";
import { Entries, type EntriesOwner } from "./entries.ts";
import type { HistoryTeller } from "./teller.ts";

export class SandboxRecord implements OwnHistory, EntriesOwner, ChartObserver {
  readonly id: string;
  readonly pod: HistorySubject["pod"];
  readonly createdAt: number;
  endedAt: number | undefined;
  /** From the beginning of Start until it was ready. */
  startMs: number | undefined;
  /** Where an earlier daemon got its VM from: `warm`, `fork`, `clone` or `boot`. */
  readonly earlierOrigin: string | undefined;
  readonly entries: Entries;
  private startedAt: number | undefined;
  private subject: Pick<HistorySubject, "facts"> | undefined;
  private lastFacts: SandboxFacts | undefined;
  private readonly recorder: ChartRecorder;
  /** Those before are an earlier daemon's, and in the journal. */
  private readonly firstOwn: number;
  private keep: ((entry: HistoryEntry) => void) | undefined;
  /** Calls about a container or process that go on: what has no other cause has theirs. */
  private readonly calls = new Map<ChartKey, number>();

  constructor(
    subject: HistorySubject,
    private readonly teller: HistoryTeller<SandboxRecord>,
  ) {
    const { id, pod, createdAt } = subject;
    this.id = id;
    this.pod = {
      ...pod,
      name: boundedText(pod.name),
      namespace: boundedText(pod.namespace),
      uid: boundedText(pod.uid),
    };
    this.createdAt = createdAt;
    this.subject = subject;
    this.entries = new Entries(id, teller.now, this);
    const earlier = earlierEntries(subject.earlier ?? []);
    this.firstOwn = this.entries.restore(earlier);
    this.startMs = earlier.find(({ kind, name }) => kind === "call" && name === "Controller.Start")?.ms;
    this.earlierOrigin = earlierOrigin(earlier);
    this.recorder = new ChartRecorder(this.entries, teller.now, this);
  }

  /** Its entries'. */
  began(id: string, entry: HistoryEntry, traceparent?: string): void {
    this.teller.listener.began(id, entry, traceparent);
  }

  /** Its entries'. */
  ended(id: string, entry: HistoryEntry, code?: ErrorCode): void {
    this.keep?.(entry);
    this.teller.listener.ended(id, entry, code);
    this.removedIfOver();
  }

  /** Its charts'. */
  cause(key: ChartKey): number | undefined {
    return this.teller.causeIn(this) ?? this.calls.get(key);
  }

  get inspect(): (event: unknown) => void {
    return this.recorder.inspect as (event: unknown) => void;
  }

  get charts(): readonly ChartView[] {
    return this.recorder.charts;
  }

  get facts(): SandboxFacts {
    const { lastFacts } = this;
    return lastFacts ?? (this.subject as HistorySubject).facts();
  }

  call(name: string, facts: CallFacts = {}): Span {
    return this.callSince(name, this.teller.now(), facts);
  }

  /** A call that has begun before there was this record. */
  callSince(name: string, at: number, { chart, traceparent }: CallFacts): Span {
    const about = chart === undefined ? {} : { chart };
    const id = this.entries.begin({ kind: "call", ...about, at, name: boundedText(name) }, traceparent);
    if (chart === undefined) return new RecordSpan(this, id);
    this.calls.set(chart, id);
    return new RecordSpan(this, id, () => {
      if (this.calls.get(chart) === id) this.calls.delete(chart);
    });
  }

  within<Result>(cause: Span, act: () => Result): Result {
    return this.teller.within(cause, act);
  }

  step(name: string, chart?: ChartKey): Span {
    return new RecordSpan(this, this.entries.begin(this.stepSince(this.teller.now(), name, chart)));
  }

  passed(name: string, ms: number, chart?: ChartKey): void {
    const took = Math.round(ms * 1000) / 1000;
    this.entries.add({ ...this.stepSince(this.teller.now() - took, name, chart), ms: took });
  }

  private stepSince(at: number, name: string, chart: ChartKey | undefined) {
    const open = chart === undefined ? undefined : (this.recorder.effectOf(chart) ?? this.calls.get(chart));
    const cause = open ?? this.recorder.effectOf(undefined);
    return {
      ...{ kind: "step" as const, at, name },
      ...(cause === undefined || cause === 0 ? {} : { cause }),
      ...(chart === undefined ? {} : { chart }),
    };
  }

  note(text: string): void {
    const cause = this.recorder.effectOf(undefined);
    const caused = cause === undefined || cause === 0 ? {} : { cause };
    this.entries.add({ kind: "note", ...caused, at: this.teller.now(), name: boundedText(text) });
  }

  record(keep: (entry: HistoryEntry) => void): void {
    for (const entry of this.entries.all)
      if (entry.id >= this.firstOwn && !this.entries.get(entry.id)) keep(entry);
    this.keep = keep;
  }

  close(): void {
    if (this.endedAt !== undefined) return;
    this.endedAt = this.teller.now();
    this.keep = undefined;
    this.lastFacts = { ...this.facts, resources: [] };
    this.subject = undefined;
    this.recorder.freeze();
    this.teller.closed(this);
    this.removedIfOver();
  }

  /** A span's. */
  endEntry(id: number, error: unknown): void {
    this.entries.end(id, error);
  }

  /** The call that ends it is told after its end. */
  private removedIfOver(): void {
    if (this.endedAt !== undefined && this.entries.openCount === 0) this.teller.over(this);
  }

  /** Its charts'. */
  moved(move: ChartMove): void {
    const { key, to, at } = move;
    if (key === "sandbox" && to === "booting") this.startedAt = this.beginningOfStart() ?? at;
    if (
      key === "sandbox" &&
      this.startMs === undefined &&
      to.startsWith("ready") &&
      this.startedAt !== undefined
    )
      this.startMs = at - this.startedAt;
    this.teller.moved(this, move);
  }

  /** Of the call that is being dealt with. */
  private beginningOfStart(): number | undefined {
    const cause = this.teller.causeIn(this);
    return cause === undefined ? undefined : this.entries.get(cause)?.at;
  }
}

/** Something in a record that goes on. */
export class RecordSpan implements Span {
  constructor(
    readonly record: SandboxRecord,
    readonly id: number,
    private readonly onEnd: () => void = () => undefined,
  ) {}

  part(name: string, fromMs: number, ms: number): void {
    const begun = this.record.entries.get(this.id);
    if (begun === undefined) return;
    const chart = begun.chart === undefined ? {} : { chart: begun.chart };
    const at = begun.at + fromMs;
    this.record.entries.add({ kind: "step", cause: this.id, ...chart, at, ms, name: boundedText(name) });
  }

  end(error?: unknown): void {
    if (this.id === 0) return;
    this.onEnd();
    this.record.endEntry(this.id, error);
  }
}
