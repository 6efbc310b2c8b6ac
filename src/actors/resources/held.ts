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
import { within } from "../../lib/async.ts";
import { asStep } from "../as-step.ts";
import type { FactName, Facts } from "./facts.ts";
import type { Outstanding } from "./journal/entries.ts";
import type { Journal } from "./journal/journal.ts";
import type { ResourcePorts } from "./kinds/kind.ts";
import { describeResource, type HostResource, undoResource } from "./kinds/kinds.ts";

export interface HeldResourcesPorts extends ResourcePorts {
  readonly histories: Histories;
}

/** An undo that takes longer does not keep those after it. */
const PATIENCE_MS = 1_000;

export class HeldResources {
  private file: Journal | undefined;
  /** By the journal's number of the resource. */
  private readonly underWay = new Map<
    number,
    { readonly done: Promise<void>; readonly description: string }
  >();

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

  /** Whether the journal says all. */
  get isComplete(): boolean {
    return this.file?.isComplete ?? true;
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

  /** Descriptions of the resources that are being undone now: what a caller waits for. */
  get undoing(): readonly string[] {
    return [...this.underWay.values()].map(({ description }) => description);
  }

  /**
   * Undoes the chosen resources, newest first; goes on after a failure and throws the first one. A resource whose undo takes
   * long does not keep the others: they are undone meanwhile, and it is waited for in the end.
   */
  async undo(chosen: (resource: HostResource) => boolean): Promise<void> {
    const journal = this.file;
    if (journal === undefined) return;
    const all: Promise<void>[] = [];
    for (const outstanding of [...journal.outstanding()].reverse()) {
      if (!chosen(outstanding.resource)) continue;
      const undone = this.undoOne(journal, outstanding);
      undone.catch(() => undefined);
      all.push(undone);
      await within(
        undone.catch(() => undefined),
        PATIENCE_MS,
      );
    }
    const failed = (await Promise.allSettled(all)).find((each) => each.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  /** Whoever wants it undone as well waits for the same undo. */
  private undoOne(journal: Journal, { ref, resource }: Outstanding): Promise<void> {
    const before = this.underWay.get(ref);
    if (before !== undefined) return before.done;
    const done = this.undoSteps(journal, ref, resource).finally(() => this.underWay.delete(ref));
    this.underWay.set(ref, { done, description: describeResource(resource) });
    return done;
  }

  private async undoSteps(journal: Journal, ref: number, resource: HostResource): Promise<void> {
    try {
      await this.step(`undo ${resource.kind}`, () => undoResource(resource, this.ports));
    } catch (error) {
      this.logger.error({ err: error, resource }, "could not undo a resource of the sandbox");
      throw error;
    }
    await journal.undone(ref);
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
