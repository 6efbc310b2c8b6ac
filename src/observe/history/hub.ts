/**
 * The histories of all sandboxes, and who hears of them.
 *
 * Keeps those of sandboxes that have ended, bounded by their number and by their bytes, the oldest of which go first.
 * A listener that throws is a bug, and must not become a pod's: it is logged once and left out.
 */
import {
  type CallFacts,
  type Histories,
  type HistoryListener,
  type HistorySubject,
  NO_HISTORY,
  type SandboxHistory,
  type Span,
} from "../../contracts/history.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { ChartMove } from "./chart-recorder.ts";
import { RecordSpan, SandboxRecord } from "./sandbox-record.ts";
import type { HistoryTeller } from "./teller.ts";

export interface HistoryHubOptions {
  /** Ended sandboxes that are kept, at most. */
  readonly keptCount: number;
  /** Bytes of memory that they take, about, at most. */
  readonly keptBytes: number;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly logger: Logger;
}

/** Who hears of more than entries. */
export interface HubListener extends HistoryListener {
  /** A sandbox is new, a chart of it has moved, or it has ended. */
  changed(record: SandboxRecord, move?: ChartMove): void;
  /** An ended sandbox is no longer kept. */
  forgotten(sandboxId: string): void;
}

export class HistoryHub implements Histories, HistoryTeller<SandboxRecord> {
  readonly now: () => number;
  readonly listener: HistoryListener;
  private readonly running = new Map<string, SandboxRecord>();
  /** Oldest first. */
  private readonly kept = new Map<string, { readonly record: SandboxRecord; bytes: number }>();
  private keptBytes = 0;
  private readonly listeners = new Set<Partial<HubListener>>();
  private explainer: (record: SandboxRecord, error: unknown) => string = () => "";
  /** What is done now is caused by it. */
  private current: Span | undefined;

  constructor(private readonly options: HistoryHubOptions) {
    this.now = options.now;
    this.listener = {
      began: (id, entry, traceparent) => this.began(id, entry, traceparent),
      ended: (id, entry, code) => this.ended(id, entry, code),
      removed: (id) => this.tell((each) => each.removed?.(id)),
    };
  }

  /** Returns what takes the listener away. */
  listen(listener: Partial<HubListener>): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Those that run and those that are kept, oldest first. */
  get records(): readonly SandboxRecord[] {
    return [...[...this.kept.values()].map(({ record }) => record), ...this.running.values()].sort(
      (one, other) => one.createdAt - other.createdAt,
    );
  }

  get runningRecords(): Iterable<SandboxRecord> {
    return this.running.values();
  }

  find(id: string): SandboxRecord | undefined {
    return this.running.get(id) ?? this.kept.get(id)?.record;
  }

  open(subject: HistorySubject): SandboxRecord {
    this.forget(subject.id);
    const record = new SandboxRecord(subject, this);
    this.running.set(subject.id, record);
    if (this.current instanceof EarlyCall && this.current.sandboxId === subject.id)
      this.current.adopt(record);
    this.tell((each) => each.changed?.(record));
    return record;
  }

  of(sandboxId: string): SandboxHistory {
    return this.running.get(sandboxId) ?? NO_HISTORY;
  }

  call(sandboxId: string, name: string, facts: CallFacts = {}): Span {
    const record = this.running.get(sandboxId);
    return record === undefined
      ? new EarlyCall(sandboxId, name, this.now(), facts)
      : record.call(name, facts);
  }

  within<Result>(cause: Span, act: () => Result): Result {
    const before = this.current;
    this.current = cause;
    try {
      return act();
    } finally {
      this.current = before;
    }
  }

  /** Says what {@link explain} says of a record. */
  explainWith(explainer: (record: SandboxRecord, error: unknown) => string): void {
    this.explainer = explainer;
  }

  explain(sandboxId: string, error: unknown): string {
    const record = this.find(sandboxId);
    return record === undefined ? "" : this.explainer(record, error);
  }

  causeIn(record: SandboxRecord): number | undefined {
    const span = this.current instanceof EarlyCall ? this.current.adopted : this.current;
    return span instanceof RecordSpan && span.record === record ? span.id : undefined;
  }

  moved(record: SandboxRecord, move: ChartMove): void {
    this.tell((each) => each.changed?.(record, move));
  }

  closed(record: SandboxRecord): void {
    if (this.running.get(record.id) === record) this.running.delete(record.id);
    const bytes = sizeOf(record);
    this.kept.set(record.id, { record, bytes });
    this.keptBytes += bytes;
    this.tell((each) => each.changed?.(record));
    const { keptCount, keptBytes } = this.options;
    for (const id of this.kept.keys()) {
      if (this.kept.size <= keptCount && this.keptBytes <= keptBytes) break;
      this.forget(id);
    }
  }

  over(record: SandboxRecord): void {
    this.listener.removed(record.id);
  }

  private forget(id: string): void {
    const kept = this.kept.get(id);
    if (kept === undefined) return;
    this.kept.delete(id);
    this.keptBytes -= kept.bytes;
    this.tell((each) => each.forgotten?.(id));
  }

  /** Every entry passes here and below, several dozen a start: nothing is made for it. */
  private began(...[id, entry, traceparent]: Parameters<HistoryListener["began"]>): void {
    for (const listener of this.listeners) {
      try {
        listener.began?.(id, entry, traceparent);
      } catch (err) {
        this.leaveOut(listener, err);
      }
    }
  }

  private ended(...[id, entry, code]: Parameters<HistoryListener["ended"]>): void {
    for (const listener of this.listeners) {
      try {
        listener.ended?.(id, entry, code);
      } catch (err) {
        this.leaveOut(listener, err);
      }
    }
  }

  private tell(told: (listener: Partial<HubListener>) => void): void {
    for (const listener of this.listeners) {
      try {
        told(listener);
      } catch (err) {
        this.leaveOut(listener, err);
      }
    }
  }

  private leaveOut(listener: Partial<HubListener>, err: unknown): void {
    this.listeners.delete(listener);
    this.options.logger.error({ err }, "a listener of the history failed and is left out");
  }
}

/** A call that has begun before its sandbox: Create. */
class EarlyCall implements Span {
  adopted: Span | undefined;
  private over = false;

  constructor(
    readonly sandboxId: string,
    private readonly name: string,
    private readonly at: number,
    private readonly facts: CallFacts,
  ) {}

  get id(): number {
    return this.adopted?.id ?? 0;
  }

  adopt(record: SandboxRecord): void {
    if (!this.over) this.adopted ??= record.callSince(this.name, this.at, this.facts);
  }

  part(name: string, fromMs: number, ms: number): void {
    this.adopted?.part(name, fromMs, ms);
  }

  end(error?: unknown): void {
    this.over = true;
    this.adopted?.end(error);
  }
}

/** An entry takes about so much beside its texts; see packed-entries.ts. */
const ENTRY_BYTES = 64;
const RECORD_BYTES = 1024;

function sizeOf({ entries, facts, charts }: SandboxRecord): number {
  const { all } = entries;
  const texts = all.reduce((sum, { name, error = "" }) => sum + name.length + error.length, 0);
  const info = Object.entries(facts.info).reduce((sum, [key, value]) => sum + key.length + value.length, 0);
  const contexts = JSON.stringify(charts.map(({ context }) => context)).length;
  return RECORD_BYTES + all.length * ENTRY_BYTES + 2 * (texts + info + contexts);
}
