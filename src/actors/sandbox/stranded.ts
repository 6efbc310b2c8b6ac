/**
 * Sandboxes whose journals are damaged beyond mending, while something runs that may be theirs: they are left alone.
 *
 * Nothing of them is known but their ids. So their pods run on without a daemon: calls about them, and about containers that nobody
 * knows, are answered Unavailable, which ends nothing in containerd. Stop and Shutdown end them, by what the host says.
 */
import { readFile } from "node:fs/promises";
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import type { KeeperInventory } from "../../contracts/keeper.ts";
import type { Logger } from "../../contracts/logger.ts";
import { abortable, deferred } from "../../lib/async.ts";
import { isMaker } from "../reconcile/lost-makers.ts";
import type { ResourcePorts } from "../resources/kinds/kind.ts";
import { namesOf, undoResource } from "../resources/kinds/kinds.ts";
import { idOf } from "../resources/mended-journal.ts";
import type { OpenJournals } from "../resources/open-journals.ts";
import { undoLeftovers } from "../resources/recovery.ts";

export interface StrandedPorts {
  readonly resources: ResourcePorts;
  /** What journals that can be read name. */
  readonly journals: Pick<OpenJournals, "resources" | "incomplete">;
  readonly logger: Logger;
}

const REMEDY = "it runs on; remove the pod to end it";

export class StrandedSandboxes {
  /** Paths of their journals, by their ids. */
  private readonly paths = new Map<string, string>();
  /** Containers that were to be ended: they are nobody's from then on. */
  private readonly givenUp = new Set<string>();
  private readonly waits = new Map<string, ReturnType<typeof deferred<void>>>();

  constructor(private readonly ports: StrandedPorts) {}

  get size(): number {
    return this.paths.size;
  }

  add(journals: readonly string[]): void {
    for (const path of journals) {
      this.paths.set(idOf(path), path);
      this.ports.logger.error(
        { journal: path, sandbox: idOf(path) },
        "a sandbox's journal is damaged, and so is its copy: its pod runs on without this daemon; remove the pod to end it",
      );
    }
  }

  has(id: string): boolean {
    return this.paths.has(id);
  }

  /** Why nothing can be said of it. */
  error(operation: string, subject: string): BlazarError {
    return blazarError("JournalDamaged", operation, "its journal is damaged, and so is its copy", {
      subject,
      remedy: REMEDY,
    });
  }

  /** Whether a container that nobody knows may run in one of them. */
  mayHave(container: string): boolean {
    return (this.paths.size > 0 || this.ports.journals.incomplete) && !this.givenUp.has(container);
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
    const path = this.paths.get(id);
    if (path === undefined) return;
    await this.stop(id);
    const { resources, journals, logger } = this.ports;
    await undoLeftovers([path], resources, logger, [...journals.resources()]);
    this.paths.delete(id);
    if (this.paths.size > 0) return;
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
    if (this.paths.size === 1) return unnamed;
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
