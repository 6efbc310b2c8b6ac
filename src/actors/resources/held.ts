/**
 * What a sandbox or a warm VM holds on the host, by its journal: made after the intent, undone newest first, handed over
 * whole.
 *
 * Owns the journal from its opening to its end. Undoing goes on after a failure; what could not be undone stays in the
 * journal, for the next try or the next daemon.
 */
import { blazarError } from "../../contracts/errors.ts";
import type { Histories } from "../../contracts/history.ts";
import type { HeldResource } from "../../contracts/inspection.ts";
import type { Logger } from "../../contracts/logger.ts";
import { asStep } from "../as-step.ts";
import type { FactName, Facts } from "./facts.ts";
import type { Journal } from "./journal.ts";
import type { ResourcePorts } from "./kinds/kind.ts";
import { describeResource, type HostResource, undoResource } from "./kinds/kinds.ts";

export interface HeldResourcesPorts extends ResourcePorts {
  readonly histories: Histories;
}

export class HeldResources {
  private file: Journal | undefined;

  constructor(
    private readonly id: string,
    private readonly ports: HeldResourcesPorts,
    private readonly logger: Logger,
  ) {}

  /** False before {@link open} and after {@link close} or {@link handOver}. */
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

  /**
   * Remembers a fact for a later daemon, while the journal is open; null forgets it. Resolves once it is in the file. A
   * rejection that nobody waits for does no harm.
   */
  fact<Name extends FactName>(name: Name, value: Facts[Name] | null): Promise<void> {
    return this.file?.fact(name, value) ?? Promise.resolve();
  }

  /** Writes the intent, makes the resource. */
  async make(resource: HostResource, maker: () => Promise<void>): Promise<void> {
    await this.journal.intend(resource);
    await this.step(`make ${resource.kind}`, maker);
  }

  /** Takes over everything that another one holds. Nothing is lost in between: for a moment both hold it. */
  async adopt(other: HeldResources): Promise<void> {
    await Promise.all(other.outstanding.map((resource) => this.journal.intend(resource)));
  }

  /** Somebody has adopted everything: empties the journal and removes it. */
  async handOver(): Promise<void> {
    const { journal } = this;
    await Promise.all(journal.outstanding().map(({ ref }) => journal.undone(ref)));
    await this.close();
  }

  /** What is held now, oldest first. */
  get outstanding(): readonly HostResource[] {
    return this.file?.outstanding().map(({ resource }) => resource) ?? [];
  }

  /** As operators see it, oldest first. */
  get described(): readonly HeldResource[] {
    const held = this.file?.outstanding() ?? [];
    return held.map(({ resource, since }) => ({
      kind: resource.kind,
      description: describeResource(resource),
      since,
    }));
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
        await this.step(`undo ${resource.kind}`, () => undoResource(resource, this.ports));
        await journal.undone(ref);
      } catch (error) {
        this.logger.error({ err: error, resource }, "could not undo a resource of the sandbox");
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  private step(name: string, work: () => Promise<void>): Promise<void> {
    return asStep(this.ports.histories.of(this.id), name, work);
  }

  /** Closes the journal; it is removed if nothing is outstanding. */
  async close(): Promise<void> {
    await this.file?.close();
    this.file = undefined;
  }
}
