/**
 * A journal without a file: what a {@link FileJournal} would have written, for tests to look at and for later daemons to go on with.
 */
import type { FactName, Facts } from "../../../src/actors/resources/facts.ts";
import type { Journal } from "../../../src/actors/resources/journal/journal.ts";
import type { HostResource } from "../../../src/actors/resources/kinds/kinds.ts";
import type { HistoryEntry } from "../../../src/contracts/inspection.ts";
import { Life } from "./life.ts";

const NEVER: Promise<never> = new Promise(() => undefined);

/** What would be in the file. */
interface Written {
  readonly facts: Map<string, unknown>;
  readonly entries: HistoryEntry[];
  readonly open: Map<number, HostResource>;
  nextRef: number;
}

export class MemoryJournal implements Journal {
  readonly isComplete = true;

  constructor(
    private readonly onClosed: () => void,
    private readonly life: Life = new Life(),
    private readonly written: Written = { facts: new Map(), entries: [], open: new Map(), nextRef: 1 },
  ) {}

  /** The same, for a later daemon. */
  reopen(life: Life): MemoryJournal {
    return new MemoryJournal(this.onClosed, life, this.written);
  }

  /** The facts that hold. */
  get facts(): Map<string, unknown> {
    return this.written.facts;
  }

  get entries(): HistoryEntry[] {
    return this.written.entries;
  }

  async intend(resource: HostResource): Promise<number> {
    if (!this.life.mayWrite()) return NEVER;
    const ref = this.written.nextRef++;
    this.written.open.set(ref, resource);
    return ref;
  }

  async amend(ref: number, resource: HostResource): Promise<void> {
    if (!this.life.mayWrite()) return NEVER;
    this.written.open.set(ref, resource);
  }

  async undone(ref: number): Promise<void> {
    if (!this.life.mayWrite()) return NEVER;
    this.written.open.delete(ref);
  }

  fact<Name extends FactName>(name: Name, value: Facts[Name] | null): Promise<void> {
    if (!this.life.mayWrite()) return NEVER;
    if (value === null) this.facts.delete(name);
    else this.facts.set(name, value);
    return Promise.resolve();
  }

  history(entry: HistoryEntry): void {
    if (this.life.mayWrite()) this.entries.push(entry);
  }

  outstanding() {
    return [...this.written.open].map(([ref, resource]) => ({ ref, resource, since: 0 }));
  }

  async close(): Promise<void> {
    if (this.life.isOver) return NEVER;
    if (this.written.open.size === 0) this.onClosed();
  }
}
