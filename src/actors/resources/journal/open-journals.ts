/**
 * The journals that this daemon has open: what they name is known without reading them.
 *
 * Whoever opens a journal has it tracked. A journal that is not tracked is read from its file, so a missing line here costs
 * time and nothing else.
 */

import type { HostResource } from "../kinds/kinds.ts";
import type { Journal } from "./journal.ts";

export class OpenJournals {
  private readonly open = new Map<string, Journal>();

  /** @param path of the journal's file; it counts as open until it is closed */
  async track<Opened extends Journal>(path: string, opening: Promise<Opened>): Promise<Opened> {
    const journal = await opening;
    this.add(path, journal);
    return journal;
  }

  /** As {@link track}, of a journal that is open. */
  add(path: string, journal: Journal): void {
    this.open.set(path, journal);
    const close = journal.close.bind(journal);
    journal.close = async () => {
      await close();
      if (this.open.get(path) === journal) this.open.delete(path);
    };
  }

  has(path: string): boolean {
    return this.open.has(path);
  }

  /** Whether any of them has lines that nobody can read: it may name anything. */
  get incomplete(): boolean {
    return [...this.open.values()].some(({ isComplete }) => !isComplete);
  }

  some(test: (resource: HostResource) => boolean): boolean {
    for (const resource of this.resources()) if (test(resource)) return true;
    return false;
  }

  /** What they name now. */
  *resources(): Iterable<HostResource> {
    for (const journal of this.open.values())
      for (const { resource } of journal.outstanding()) yield resource;
  }
}
