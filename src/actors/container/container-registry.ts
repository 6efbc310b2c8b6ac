/**
 * The containers of the node: the one record of which there are, by their id and by their sandbox.
 */
import { blazarError } from "../../contracts/errors.ts";
import { SIGKILL, signalStatus } from "../../lib/signals.ts";
import type { StrandedSandboxes } from "../sandbox/stranded.ts";
import type { Container } from "./container.actor.ts";

export class ContainerRegistry {
  private readonly byId = new Map<string, Container>();
  private readonly bySandbox = new Map<string, Set<Container>>();

  constructor(private readonly stranded: Pick<StrandedSandboxes, "mayHave" | "error">) {}

  has(id: string): boolean {
    return this.byId.has(id);
  }

  /** Throws ContainerNotFound; JournalDamaged if nobody can know it. */
  get(id: string): Container {
    const container = this.byId.get(id);
    if (container !== undefined) return container;
    if (this.stranded.mayHave(id)) throw this.stranded.error("find the container", id);
    throw blazarError("ContainerNotFound", "find the container", "no such container", { subject: id });
  }

  /** Those of a sandbox, oldest first. */
  of(sandboxId: string): readonly Container[] {
    return [...(this.bySandbox.get(sandboxId) ?? [])];
  }

  /** The container whose init process has this task pid. */
  withPid(pid: number): Container | undefined {
    for (const container of this.byId.values()) if (container.init.pid === pid) return container;
    return undefined;
  }

  add(container: Container): void {
    this.byId.set(container.id, container);
    const siblings = this.bySandbox.get(container.sandboxId) ?? new Set();
    this.bySandbox.set(container.sandboxId, siblings.add(container));
  }

  /** Whoever waits for one of its processes waits for nothing: each ends now, if it has not ended before. */
  remove(container: Container): void {
    container.endAll(signalStatus(SIGKILL));
    if (this.byId.get(container.id) === container) this.byId.delete(container.id);
    const siblings = this.bySandbox.get(container.sandboxId);
    siblings?.delete(container);
    if (siblings?.size === 0) this.bySandbox.delete(container.sandboxId);
  }

  /** The sandbox is gone for good. */
  removeAll(sandboxId: string): void {
    for (const container of this.of(sandboxId)) this.remove(container);
  }
}
