/**
 * The entries of one sandbox's history: what has ended, bounded, and what goes on.
 *
 * The first ones say how the pod came up, and the last ones what it did last. So it is the middle that makes room.
 * Owns the ids of entries. Must not know what an entry means.
 */
import { BlazarError, type ErrorCode, reasonOf } from "../../contracts/errors.ts";
import type { HistoryListener } from "../../contracts/history.ts";
import type { HistoryEntry } from "../../contracts/inspection.ts";
import { ownText } from "../../lib/cut-text.ts";
import { boundedText } from "./bounded-text.ts";
import { PackedEntries } from "./packed-entries.ts";

/** Entries that have ended and are kept. */
export const MOST_ENTRIES = 256;
/** The first of them stay for ever. */
const FIRST_ENTRIES = 96;
/** Things that go on at once; more are not recorded. */
const MOST_OPEN = 256;

export type NewEntry = Omit<HistoryEntry, "id" | "ms" | "error">;

/** Who is told of what begins and ends. */
export type EntriesOwner = Pick<HistoryListener, "began" | "ended">;

export class Entries {
  private nextId = 1;
  private readonly ended = new PackedEntries(FIRST_ENTRIES, MOST_ENTRIES);
  private readonly open = new Map<number, HistoryEntry>();

  constructor(
    private readonly sandboxId: string,
    private readonly now: () => number,
    private readonly owner: EntriesOwner,
  ) {}

  /** Goes on after what an earlier daemon has recorded; nobody is told of that. Returns the id of the first new entry. */
  restore(earlier: readonly HistoryEntry[]): number {
    for (const entry of earlier) {
      this.nextId = Math.max(this.nextId, entry.id + 1);
      this.ended.push(entry);
    }
    return this.nextId;
  }

  /** In the order in which things ended; what goes on is at the end. */
  get all(): readonly HistoryEntry[] {
    return [...this.ended.all, ...this.open.values()];
  }

  /** How many {@link all} has. */
  get count(): number {
    return this.ended.count + this.open.size;
  }

  /** Entries that were there and had to make room. */
  get forgotten(): number {
    return this.ended.forgotten;
  }

  get openCount(): number {
    return this.open.size;
  }

  /** One that goes on. */
  get(id: number): HistoryEntry | undefined {
    return this.open.get(id);
  }

  /** Returns its id; 0 = too much goes on. */
  begin(entry: NewEntry, traceparent?: string): number {
    if (this.open.size >= MOST_OPEN) return 0;
    const begun = { id: this.nextId++, ...entry };
    this.open.set(begun.id, begun);
    this.owner.began(this.sandboxId, begun, traceparent);
    return begun.id;
  }

  end(id: number, error?: unknown): void {
    const begun = this.open.get(id);
    if (begun === undefined) return;
    this.open.delete(id);
    // by a clock that may be set back meanwhile
    const timed = { ...begun, ms: Math.max(0, Math.round((this.now() - begun.at) * 1000) / 1000) };
    this.keep(error === undefined ? timed : { ...timed, error: errorText(error) }, codeOf(error));
  }

  /** Something that takes no time, or is told when it is over. */
  add(entry: NewEntry & Pick<HistoryEntry, "ms">): number {
    const added = { id: this.nextId++, ...entry };
    this.keep(added);
    return added.id;
  }

  private keep(entry: HistoryEntry, code?: ErrorCode): void {
    this.ended.push(entry);
    this.owner.ended(this.sandboxId, entry, code);
  }
}

function errorText(error: unknown): string {
  const text = ownText(boundedText(reasonOf(error)));
  return text === "" ? "it failed" : text;
}

function codeOf(error: unknown): ErrorCode | undefined {
  if (error === undefined) return undefined;
  return error instanceof BlazarError ? error.code : "Internal";
}
