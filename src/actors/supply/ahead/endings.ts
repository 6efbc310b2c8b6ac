/**
 * VMs that nobody waits for any more: ended in the background, and tried again until that works.
 *
 * What cannot be ended now (a busy mount, a disk that is full) stays in its journal, is tried again at the next occasion, and
 * at the latest by the next daemon.
 */
import type { Logger } from "../../../contracts/logger.ts";
import { UnderWay } from "../../../lib/under-way.ts";

export class Endings {
  private readonly left = new Map<string, () => Promise<void>>();
  private readonly underWay = new UnderWay();

  constructor(private readonly logger: Logger) {}

  /** Ends a VM by `end`, which may be called again. Never throws: a failure is told, and kept for {@link retry}. */
  begin(vmId: string, end: () => Promise<void>): Promise<void> {
    return this.underWay.track(async () => {
      try {
        await end();
        this.left.delete(vmId);
      } catch (error) {
        this.left.set(vmId, end);
        const text = "could not end a VM cleanly; it is tried again later";
        this.logger.error({ vm: vmId, err: error }, text);
      }
    });
  }

  /** Tries again what could not be ended so far. */
  async retry(): Promise<void> {
    const left = [...this.left];
    this.left.clear();
    await Promise.all(left.map(([vmId, end]) => this.begin(vmId, end)));
  }

  /** Resolves when nothing is being ended, and what was left has been tried once more. */
  async settled(): Promise<void> {
    await this.underWay.settled();
    await this.retry();
  }
}
