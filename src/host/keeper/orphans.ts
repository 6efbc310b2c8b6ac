/**
 * Processes whose keeper has died, until the next keeper has adopted them.
 *
 * They are init's children now, so nobody tells how they end. Meanwhile /proc tells that they have ended (proc_pid_stat(5)). A
 * pid alone says nothing: each is known by its start time as well.
 */
import type { ProcessExit, ProcessIdentity } from "../../contracts/keeper.ts";
import { hasEnded } from "../../lib/processes/processes.ts";

const LOOK_MS = 250;

export class Orphans {
  private readonly left = new Map<string, ProcessIdentity>();
  private timer: NodeJS.Timeout | undefined;

  /** @param onEnd is told of each that has ended; nobody knows how */
  constructor(private readonly onEnd: (exit: ProcessExit) => void) {}

  /** The processes that no keeper watches, by the daemon's names. */
  get all(): readonly (readonly [string, ProcessIdentity])[] {
    return [...this.left];
  }

  add(id: string, identity: ProcessIdentity): void {
    this.left.set(id, identity);
    this.timer ??= setInterval(() => void this.look(), LOOK_MS).unref();
  }

  /** A keeper watches it, or it was forgotten. */
  remove(id: string): void {
    this.left.delete(id);
    if (this.left.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
  }

  ended(id: string): void {
    if (!this.left.has(id)) return;
    this.remove(id);
    this.onEnd({ id, code: -1, signal: 0 });
  }

  clear(): void {
    for (const id of [...this.left.keys()]) this.remove(id);
  }

  private async look(): Promise<void> {
    for (const [id, identity] of this.all)
      if ((await hasEnded(identity)) && this.left.get(id) === identity) this.ended(id);
  }
}
