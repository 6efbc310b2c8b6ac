/**
 * Who watches, and what each is told: the port's events, made of what the hub tells.
 *
 * A summary is made only while somebody watches, and told only if it has changed. A burst of changes in one turn of the
 * event loop is one summary.
 */
import type { EventObserver, EventSource } from "../../contracts/event-source.ts";
import type {
  HistoryEntry,
  InspectionEvent,
  SandboxSummary,
  WatchFilter,
} from "../../contracts/inspection.ts";
import type { SandboxRecord } from "../history/sandbox-record.ts";

interface Watcher {
  readonly filter: WatchFilter;
  readonly observer: EventObserver<InspectionEvent>;
}

export class Watchers {
  private readonly watchers = new Set<Watcher>();
  private readonly changed = new Set<SandboxRecord>();
  /** What was told last, by id. */
  private readonly told = new Map<string, string>();
  private planned = false;

  constructor(
    private readonly records: () => readonly SandboxRecord[],
    private readonly summary: (record: SandboxRecord) => SandboxSummary,
  ) {}

  get count(): number {
    return this.watchers.size;
  }

  watch(filter: WatchFilter): EventSource<InspectionEvent> {
    return {
      subscribe: (observer) => {
        // what has changed so far is in what is told first
        this.flush();
        const watcher = { filter, observer };
        observer.next({ type: "reset" });
        for (const record of this.records()) {
          if (filter.sandboxId !== undefined && record.id !== filter.sandboxId) continue;
          const summary = this.summary(record);
          this.told.set(record.id, JSON.stringify(summary));
          observer.next({ type: "summary", summary });
        }
        this.watchers.add(watcher);
        return { unsubscribe: () => this.leave(watcher) };
      },
    };
  }

  /** Ends every watch. */
  close(): void {
    for (const { observer } of this.watchers) observer.complete();
    this.watchers.clear();
    this.told.clear();
  }

  recordChanged(record: SandboxRecord): void {
    if (this.watchers.size === 0) return;
    this.changed.add(record);
    if (this.planned) return;
    this.planned = true;
    queueMicrotask(() => {
      this.planned = false;
      this.flush();
    });
  }

  entry(sandboxId: string, entry: HistoryEntry): void {
    if (this.watchers.size === 0) return;
    this.introduce(sandboxId);
    for (const { filter, observer } of this.watchers) {
      if (!filter.entries || isOther(filter, sandboxId)) continue;
      observer.next({ type: "entry", sandboxId, entry });
    }
  }

  forgotten(sandboxId: string): void {
    this.told.delete(sandboxId);
    this.tell(sandboxId, { type: "forgotten", sandboxId });
  }

  /** A new sandbox's summary comes before its first entry: without it nobody knows whose the entry is. */
  private introduce(sandboxId: string): void {
    if (this.told.has(sandboxId)) return;
    const record = this.records().find(({ id }) => id === sandboxId);
    if (record !== undefined) this.tellSummary(record);
  }

  private flush(): void {
    const changed = [...this.changed];
    this.changed.clear();
    for (const record of changed) this.tellSummary(record);
  }

  private tellSummary(record: SandboxRecord): void {
    const summary = this.summary(record);
    const text = JSON.stringify(summary);
    if (this.told.get(record.id) === text) return;
    this.told.set(record.id, text);
    this.tell(record.id, { type: "summary", summary });
  }

  private tell(sandboxId: string, event: InspectionEvent): void {
    for (const { filter, observer } of [...this.watchers])
      if (!isOther(filter, sandboxId)) observer.next(event);
  }

  private leave(watcher: Watcher): void {
    this.watchers.delete(watcher);
    if (this.watchers.size > 0) return;
    this.told.clear();
    this.changed.clear();
  }
}

function isOther({ sandboxId }: WatchFilter, id: string): boolean {
  return sandboxId !== undefined && sandboxId !== id;
}
