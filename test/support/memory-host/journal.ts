/**
 * A journal without a file: what a {@link FileJournal} would have written, for tests to look at.
 */
import type { FactName, Facts } from "../../../src/actors/resources/facts.ts";
import type { Journal } from "../../../src/actors/resources/journal.ts";
import type { HostResource } from "../../../src/actors/resources/kinds/kinds.ts";
import type { HistoryEntry } from "../../../src/contracts/inspection.ts";

export class MemoryJournal implements Journal {
  /** The facts that hold. */
  readonly facts = new Map<string, unknown>();
  readonly isComplete = true;
  readonly entries: HistoryEntry[] = [];
  private nextRef = 1;
  private readonly open = new Map<number, HostResource>();

  constructor(private readonly onClosed: () => void) {}

  async intend(resource: HostResource): Promise<number> {
    this.open.set(this.nextRef, resource);
    return this.nextRef++;
  }

  async amend(ref: number, resource: HostResource): Promise<void> {
    this.open.set(ref, resource);
  }

  async undone(ref: number): Promise<void> {
    this.open.delete(ref);
  }

  async fact<Name extends FactName>(name: Name, value: Facts[Name] | null): Promise<void> {
    if (value === null) this.facts.delete(name);
    else this.facts.set(name, value);
  }

  history(entry: HistoryEntry): void {
    this.entries.push(entry);
  }

  outstanding() {
    return [...this.open].map(([ref, resource]) => ({ ref, resource, since: 0 }));
  }

  async close(): Promise<void> {
    if (this.open.size === 0) this.onClosed();
  }
}
