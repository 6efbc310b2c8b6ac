/**
 * Steps that undo what a handler has made, run newest first, so that a failed handler leaves nothing half made.
 *
 * Every step is run, even if others fail. Failures are only logged: nobody waits for them.
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
