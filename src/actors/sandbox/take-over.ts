/**
 * Takes over the sandboxes of an earlier daemon: the registries know all of them when this returns.
 *
 * From then on calls about them are answered, from records or as soon as their guests have been reached again. Waits for nothing.
 */
import type { Logger } from "../../contracts/logger.ts";
import type { ContainerTasks } from "../container/task-service.ts";
import type { LeftSandbox } from "../resources/known-sandbox.ts";
import type { SandboxRegistry } from "./registry.ts";

/** Returns those that could not be: they have to be undone. */
export function takeOver(
  actors: { readonly sandboxes: SandboxRegistry; readonly tasks: ContainerTasks },
  found: readonly LeftSandbox[],
  logger: Logger,
): LeftSandbox[] {
  const { sandboxes, tasks } = actors;
  const refused: LeftSandbox[] = [];
  for (const left of found) {
    try {
      sandboxes.adopt(left, (sandbox) => tasks.adopt(sandbox, left.known.containers));
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
