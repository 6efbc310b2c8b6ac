/**
 * Takes over the sandboxes of an earlier daemon: the registries know all of them when this returns.
 *
 * From then on calls about them are answered, from records or as soon as their guests have been reached again. Waits for nothing.
 */
import type { Logger } from "../../contracts/logger.ts";
import type { ContainerRegistry } from "../container/container-registry.ts";
import type { ContainerTasks } from "../container/task-service.ts";
import { stdioId } from "../resources/kinds/stdio.ts";
import type { LeftSandbox } from "../resources/known-sandbox.ts";
import type { KeeperDeath } from "./keeper-death.ts";
import type { SandboxRegistry } from "./registry.ts";

export interface TakingOver {
  readonly sandboxes: SandboxRegistry;
  readonly containers: ContainerRegistry;
  readonly tasks: ContainerTasks;
  readonly keeperDeath: KeeperDeath;
}

/**
 * Returns those that could not be: they have to be undone.
 * @param stdio ids under which the keeper has streams; each container has some until it is deleted
 */
export function takeOver(
  actors: TakingOver,
  found: readonly LeftSandbox[],
  stdio: readonly string[],
  logger: Logger,
): LeftSandbox[] {
  const { sandboxes, tasks, containers, keeperDeath } = actors;
  const served = new Set(stdio);
  const refused: LeftSandbox[] = [];
  for (const left of found) {
    try {
      sandboxes.adopt(left, (sandbox) => tasks.adopt(sandbox, left.known.containers));
      const { spec, phase } = left.known;
      const lost = containers.of(spec.id).filter(({ id }) => !served.has(stdioId(id, "")));
      if (phase.phase === "ready") keeperDeath.found(spec.id, lost);
    } catch (err) {
      logger.error(
        { err, sandbox: left.known.spec.id },
        "a sandbox of a previous daemon cannot be taken over",
      );
      refused.push(left);
    }
  }
  return refused;
}
