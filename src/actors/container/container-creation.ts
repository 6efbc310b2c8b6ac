/**
 * How a container comes about: what is asked is checked, its chart makes it, and what comes to nothing is nobody's.
 *
 * Makes no record by itself (container-maker.ts), and tells nobody.
 */
import { blazarError } from "../../contracts/errors.ts";
import type { TaskCallOrigin, TaskCreateRequest } from "../../contracts/task.ts";
import { checkId } from "../../lib/ids.ts";
import { errorOf } from "../../machines/failure.ts";
import type { SandboxRegistry } from "../sandbox/registry.ts";
import { until } from "../until.ts";
import type { Container, ContainerHome } from "./container.actor.ts";
import type { ContainerMaker } from "./container-maker.ts";
import type { ContainerRegistry } from "./container-registry.ts";

export interface ContainerCreationPorts {
  readonly sandboxes: SandboxRegistry;
  readonly containers: ContainerRegistry;
}

export class ContainerCreation {
  constructor(
    private readonly ports: ContainerCreationPorts,
    private readonly maker: Pick<ContainerMaker, "make">,
  ) {}

  /** Resolves when it is there, or was there before: a dead daemon has made it, and the call is a replay. */
  async create(
    request: TaskCreateRequest,
    origin: TaskCallOrigin | undefined,
  ): Promise<{ readonly container: Container; readonly isNew: boolean }> {
    const operation = "create the container";
    const { id } = request;
    const adopted = this.adoptionFor(request, operation);
    if (adopted !== undefined) await adopted;
    const before = this.madeBefore(request, origin);
    if (before !== undefined) return { container: before, isNew: false };
    const container = this.maker.make(this.homeFor(request, operation), request);
    const sandbox = this.ports.sandboxes.entry(container.sandboxId);
    this.ports.containers.add(container);
    sandbox.send({ type: "container.add", containerId: id });
    container.actor = sandbox.containerActor(id);
    const snapshot = container.actor && (await until(container.actor, (now) => now.matches("present")));
    if (snapshot === undefined || snapshot.status !== "active") {
      this.ports.containers.remove(container);
      const failure = snapshot?.context.failure;
      if (failure !== undefined) throw errorOf(failure, id);
      throw blazarError("SandboxNotReady", operation, "its sandbox has ended meanwhile", { subject: id });
    }
    return { container, isNew: true };
  }

  /** An earlier daemon has made it, and has died before it could say so. */
  private madeBefore(
    { id, bundle }: TaskCreateRequest,
    origin: TaskCallOrigin | undefined,
  ): Container | undefined {
    const { containers } = this.ports;
    if (origin?.replayed !== true || !containers.has(id)) return undefined;
    const container = containers.get(id);
    return container.bundle === bundle && !container.init.started ? container : undefined;
  }

  /** Undefined if there is nothing to wait for: its sandbox is not being taken over, and nothing has to be undone before. */
  private adoptionFor({ id, sandboxId }: TaskCreateRequest, operation: string): Promise<unknown> | undefined {
    checkId(id, operation);
    if (sandboxId === undefined) return undefined;
    const { sandboxes } = this.ports;
    const { adopted } = sandboxes.entry(sandboxId).sandbox;
    if (adopted === undefined && sandboxes.cleared === undefined) return undefined;
    return Promise.all([adopted, sandboxes.cleared]);
  }

  /** Checks what is asked; nothing is made before that. */
  private homeFor({ id, sandboxId }: TaskCreateRequest, operation: string): ContainerHome {
    const { sandboxes, containers } = this.ports;
    if (containers.has(id))
      throw blazarError("ContainerExists", operation, "there is one with this id", { subject: id });
    if (sandboxId === undefined)
      throw blazarError("InvalidSpec", operation, "its bundle names no sandbox", { subject: id });
    const { sandbox, actor } = sandboxes.entry(sandboxId);
    if (!actor.getSnapshot().matches("ready")) {
      const reason = `sandbox ${sandboxId} is ${sandboxes.status(sandboxId).phase}`;
      throw blazarError("SandboxNotReady", operation, reason, { subject: id });
    }
    // the lease on its image and its disk have the container's name
    const holder = sandboxes.holderOf(id);
    if (holder === undefined) return sandbox;
    const reason = `an earlier creation of it, in sandbox ${holder}, could not be undone yet`;
    throw blazarError("HostResource", operation, reason, { subject: id, remedy: "make the pod anew" });
  }
}
