/**
 * Ends containers that a dead keeper has taken containerd's connection and the streams of.
 *
 * For containerd such a container has ended (exit code 255; core/runtime/v2, cleanupAfterDeadShim), and it never asks for it again: not
 * even for its deletion. So it is killed and deleted here, in the guest and on the host. Its sandbox goes on.
 */
import type { Logger } from "../../contracts/logger.ts";
import { pause } from "../../lib/async.ts";
import { errorOf, type Failure } from "../../machines/failure.ts";
import { until } from "../until.ts";
import type { Container } from "./container.actor.ts";
import type { ContainerRegistry } from "./container-registry.ts";

/** What cannot be deleted now is tried again, while its sandbox is there. */
const AGAIN_MS = 5_000;

export interface LostContainersPorts {
  readonly containers: Pick<ContainerRegistry, "has" | "get" | "remove">;
  readonly logger: Logger;
}

export class LostContainers {
  constructor(private readonly ports: LostContainersPorts) {}

  /** Resolves when it is gone, or when its sandbox sees to the rest. Never rejects. */
  async end(container: Container): Promise<void> {
    const { logger } = this.ports;
    for (;;) {
      const failure = await this.tryToEnd(container);
      if (failure === undefined || !this.isThere(container)) return;
      const text = "a container whose keeper has died could not be deleted; it is tried again";
      logger.error({ sandbox: container.sandboxId, err: errorOf(failure, container.id) }, text);
      await pause(AGAIN_MS);
      if (!this.isThere(container)) return;
    }
  }

  private async tryToEnd(container: Container): Promise<Failure | undefined> {
    const { actor } = container;
    if (!container.callOff()) actor?.send({ type: "container.delete" });
    const snapshot = actor && (await until(actor, (now) => now.matches("present")));
    if (snapshot?.status === "active" && snapshot.context.failure !== undefined)
      return snapshot.context.failure;
    // those that are not deleted are the matter of their sandbox, which has ended
    if (snapshot?.status === "done") this.ports.containers.remove(container);
    return undefined;
  }

  private isThere({ id }: Container): boolean {
    return this.ports.containers.has(id);
  }
}
