/**
 * What has to be undone, newest first: the agent's handlers leave nothing half-made.
 *
 * Each step is tried, whatever the others do; failures are logged, for nobody waits for them.
 */
import type { Logger } from "../../native/runtime/log.ts";

export class UndoList {
  private readonly steps: { name: string; undo: () => void | Promise<void> }[] = [];

  constructor(private readonly logger: Logger) {}

  add(name: string, undo: () => void | Promise<void>): void {
    this.steps.push({ name, undo });
  }

  /** Undoes everything, once. */
  async run(): Promise<void> {
    for (let step = this.steps.pop(); step !== undefined; step = this.steps.pop()) {
      try {
        await step.undo();
      } catch (error) {
        this.logger.warn("a step could not be undone", { step: step.name, error });
      }
    }
  }
}
