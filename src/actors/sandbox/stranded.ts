/**
 * Sandboxes whose journals are damaged beyond mending or cannot be read now, while something runs that may be theirs: they are left
 * alone.
 *
 * Nothing of them is known but their ids. So their pods run on without a daemon: calls about them, and about containers that nobody
 * knows, are answered Unavailable, which ends nothing in containerd. Stop and Shutdown end them, by what the host says.
 */
import { readFile } from "node:fs/promises";
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import type { KeeperInventory } from "../../contracts/keeper.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { ProcessState } from "../../contracts/task.ts";
import { abortable, deferred } from "../../lib/async.ts";
import { isMaker } from "../reconcile/lost-makers.ts";
import { idOf } from "../resources/journal/mended-journal.ts";
import type { OpenJournals } from "../resources/journal/open-journals.ts";
import type { ResourcePorts } from "../resources/kinds/kind.ts";
import { namesOf, undoResource } from "../resources/kinds/kinds.ts";
import { undoLeftovers } from "../resources/recovery.ts";

export interface StrandedPorts {
  readonly resources: ResourcePorts;
  /** What journals that can be read name. */
  readonly journals: Pick<OpenJournals, "resources" | "incomplete">;
  readonly logger: Logger;
}

/** Of a container that a bad line of a journal in use may have been about. */
const PARTLY = { reason: "a pod's journal has lines that cannot be read" };
const REMEDY = "it runs on; remove the pod to end it";

export class StrandedSandboxes {
  /** Their journals, by their ids. */
  private readonly journals = new Map<string, { readonly path: string; readonly reason: string }>();
  /** Containers that were to be ended: they are nobody's from then on. */
  private readonly givenUp = new Set<string>();
  private readonly waits = new Map<string, ReturnType<typeof deferred<void>>>();

  constructor(private readonly ports: StrandedPorts) {}

  get size(): number {
    return this.journals.size;
  }

  /** @param reason why the journals say nothing */
  add(journals: readonly string[], reason: string): void {
    for (const path of journals) {
      this.journals.set(idOf(path), { path, reason });
      this.ports.logger.error(
        { journal: path, sandbox: idOf(path), remedy: REMEDY },
        `a sandbox cannot be taken over: ${reason}; its pod runs on without this daemon`,
      );
    }
  }

  has(id: string): boolean {
    return this.journals.has(id);
  }

  /** Why nothing can be said of it. */
  error(operation: string, subject: string): BlazarError {
    const { reason } = this.journals.get(subject) ?? [...this.journals.values()][0] ?? PARTLY;
    return blazarError("JournalDamaged", operation, reason, { subject, remedy: REMEDY });
  }

  /** Whether a container that nobody knows may run in one of them. */
  mayHave(container: string): boolean {
    return (this.journals.size > 0 || this.ports.journals.incomplete) && !this.givenUp.has(container);
  }

  /** What is said of such a container: that it runs. containerd asks for a task's state before it kills it. */
  assume(id: string, execId: string): ProcessState {
    const streams = { stdin: "", stdout: "", stderr: "", terminal: false };
    return { id, execId, pid: 0, status: "running", ...streams, exitStatus: 0, bundle: "" };
  }

  /** Resolves when it was given up, or when none of them is left. */
  async gone(container: string, signal?: AbortSignal): Promise<void> {
    const wait = this.waits.get(container) ?? deferred<void>();
    this.waits.set(container, wait);
    const about = { operation: "wait for the process", subject: container };
    await (signal === undefined ? wait.promise : abortable(wait.promise, signal, about));
  }

  /** Somebody wants it ended: its end is told, so that its pod can be removed, which ends it. */
  giveUp(container: string): void {
    this.givenUp.add(container);
    this.waits.get(container)?.resolve();
    this.waits.delete(container);
  }

  /** Ends its processes. Throws what cannot be ended. */
  async stop(id: string): Promise<void> {
    const { resources } = this.ports;
    const processes = await this.processesOf(id);
    await Promise.all(
      processes.map(({ id: process, identity }) =>
        undoResource({ kind: "process", id: process, ...identity }, resources),
      ),
    );
  }

  /** Ends it and undoes what its journal says; the reconciler finds the rest. Throws what cannot be ended. */
  async shutdown(id: string): Promise<void> {
    const path = this.journals.get(id)?.path;
    if (path === undefined) return;
    await this.stop(id);
    const { resources, journals, logger } = this.ports;
    await undoLeftovers([path], resources, logger, [...journals.resources()]);
    this.journals.delete(id);
    if (this.journals.size > 0) return;
    for (const wait of this.waits.values()) wait.resolve();
    this.waits.clear();
    this.givenUp.clear();
  }

  /** Those that the host says are the sandbox's; the only one that is stranded has all that no journal names. */
  private async processesOf(id: string): Promise<KeeperInventory["processes"]> {
    const { resources, journals } = this.ports;
    const named = new Set([...journals.resources()].flatMap((resource) => namesOf(resource)));
    const unnamed = resources.keeper
      .inventory()
      .processes.filter(
        ({ id: process, exit }) =>
          exit === undefined && !named.has(`process ${process}`) && !isMaker(process),
      );
    if (this.journals.size === 1) return unnamed;
    const isIts = await Promise.all(
      unnamed.map(async ({ id: process, identity: { pid } }) => process === id || (await mentions(pid, id))),
    );
    return unnamed.filter((_, index) => isIts[index]);
  }
}

/** In its command line, or in the names of its control groups. */
async function mentions(pid: number, id: string): Promise<boolean> {
  const texts = await Promise.all(
    ["cmdline", "cgroup"].map((name) => readFile(`/proc/${pid}/${name}`, "latin1").catch(() => "")),
  );
  return texts.some((text) => text.includes(id));
}
