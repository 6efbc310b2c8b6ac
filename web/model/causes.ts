/**
 * The causal tree of a sandbox's history: what has led to an entry, and what has come of it. Pure.
 *
 * Ids count upwards and a cause comes before its effect. A hostile file may say otherwise: then the link is not followed.
 */
import type { HistoryEntry } from "../../src/contracts/inspection.ts";

export class Causes {
  private readonly entries = new Map<number, HistoryEntry>();
  private readonly effects = new Map<number, number[]>();

  constructor(history: readonly HistoryEntry[]) {
    for (const entry of history) this.entries.set(entry.id, entry);
    for (const entry of this.entries.values()) {
      const cause = this.causeOf(entry);
      if (cause !== undefined) this.effects.set(cause.id, [...(this.effects.get(cause.id) ?? []), entry.id]);
    }
  }

  entry(id: number): HistoryEntry | undefined {
    return this.entries.get(id);
  }

  /** What has caused it, if that is still known. */
  causeOf(entry: HistoryEntry): HistoryEntry | undefined {
    return entry.cause === undefined || entry.cause >= entry.id ? undefined : this.entries.get(entry.cause);
  }

  /** From the first cause to the entry itself. */
  pathTo(id: number): HistoryEntry[] {
    const path: HistoryEntry[] = [];
    for (let next = this.entries.get(id); next !== undefined; next = this.causeOf(next)) path.unshift(next);
    return path;
  }

  /** Ids of all that has come of it, without itself. */
  consequences(id: number): Set<number> {
    const found = new Set<number>();
    const open = [id];
    for (let next = open.pop(); next !== undefined; next = open.pop()) {
      for (const effect of this.effects.get(next) ?? []) {
        found.add(effect);
        open.push(effect);
      }
    }
    return found;
  }
}
