/**
 * What a sandbox holds on the host, by its journal: made after the intent, undone newest first, handed over whole.
 *
 * Owns the journal from its opening to its end. Undoing goes on after a failure; what could not be undone stays in the
 * journal, for the next try or the next daemon.
 */
import { blazarError } from "../../contracts/errors.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { HostResource, Journal } from "./journal.ts";
import { type UndoPorts, undo } from "./undo.ts";

export class HeldResources {
  private file: Journal | undefined;

  constructor(
    private readonly id: string,
    private readonly ports: UndoPorts,
    private readonly logger: Logger,
  ) {}

  /** False before {@link open} and after {@link close} or {@link surrender}. */
  get isOpen(): boolean {
    return this.file !== undefined;
  }

  /** Throws Internal if it is not open. */
  get journal(): Journal {
    if (this.file !== undefined) return this.file;
    throw blazarError("Internal", "write the journal", "it is not open", { subject: this.id });
  }

  open(journal: Journal): void {
    this.file = journal;
  }

  /** Writes the intent, makes the resource. */
  async make(resource: HostResource, maker: () => Promise<void>): Promise<void> {
    await this.journal.intend(resource);
    await maker();
  }

  /** Takes over everything that another journal holds, before that one lets go of it. */
  async takeOver(other: Journal): Promise<void> {
    await Promise.all(other.outstanding().map(({ resource }) => this.journal.intend(resource)));
  }

  /** Somebody has taken over everything: empties the journal and removes it. */
  async surrender(): Promise<void> {
    const { journal } = this;
    await Promise.all(journal.outstanding().map(({ ref }) => journal.undone(ref)));
    await this.close();
  }

  /** The chosen resources are gone already. */
  async gone(chosen: (resource: HostResource) => boolean): Promise<void> {
    const journal = this.file;
    if (journal === undefined) return;
    const found = journal.outstanding().filter(({ resource }) => chosen(resource));
    await Promise.all(found.map(({ ref }) => journal.undone(ref)));
  }

  /** Undoes the chosen resources, newest first; goes on after a failure and throws the first one. */
  async undo(chosen: (resource: HostResource) => boolean): Promise<void> {
    const journal = this.file;
    if (journal === undefined) return;
    const failures: unknown[] = [];
    for (const { ref, resource } of [...journal.outstanding()].reverse()) {
      if (!chosen(resource)) continue;
      try {
        await undo(resource, this.ports);
        await journal.undone(ref);
      } catch (error) {
        this.logger.error({ err: error, resource }, "could not undo a resource of the sandbox");
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  /** Closes the journal; it is removed if nothing is outstanding. */
  async close(): Promise<void> {
    await this.file?.close();
    this.file = undefined;
  }
}
