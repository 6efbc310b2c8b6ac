/**
 * A VMM that runs under the keeper: its end, however it comes, and putting an end to it.
 *
 * The keeper is the parent and reports the exit. Should the keeper be lost, /proc and the process's start time tell
 * whether the VMM still lives, and the signal goes out from here: a VM must not outlive its sandbox because a third
 * process is gone.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { Keeper, ProcessIdentity } from "../../contracts/keeper.ts";
import { deferred, within } from "../../lib/async.ts";
import { KEEPER_PATIENCE_MS, killProcess } from "../../lib/processes/kill-process.ts";
import { isAlive } from "../../lib/processes/processes.ts";
import { SIGKILL } from "../../lib/signals.ts";

/** The part of the keeper that a driver needs. */
export type VmmParent = Pick<Keeper, "spawn" | "fork" | "seal" | "signal" | "exited" | "forget">;

export interface VmmExit {
  /** -1 if a signal ended it, or if nobody knows. */
  readonly code: number;
  readonly signal: number;
}

const LOST_KEEPER_POLL_MS = 500;

export class RunningProcess {
  /** Never rejects. */
  readonly exited: Promise<VmmExit>;
  exit: VmmExit | undefined;
  /** How it ended, if /proc is the first to tell. */
  private readonly presumed = deferred<VmmExit>();

  constructor(
    private readonly keeper: VmmParent,
    readonly id: string,
    readonly identity: ProcessIdentity,
  ) {
    this.exited = Promise.race([this.awaitExit(), this.presumed.promise]).then((exit) => {
      this.exit ??= exit;
      return this.exit;
    });
  }

  /** How it has ended, or undefined if it still runs after so many milliseconds. */
  exitWithin(ms: number): Promise<VmmExit | undefined> {
    return within(this.exited, ms);
  }

  /**
   * SIGKILL, then waits for its end and makes the keeper forget it. A keeper that is dead or stopped keeps nothing alive: /proc
   * tells the end then, and the keeper is asked to forget it when it tells the exit itself. Throws DeadlineExceeded.
   */
  async kill(deadlineMs: number): Promise<void> {
    const { id, identity, keeper } = this;
    const route = { signal: () => keeper.signal(id, SIGKILL), ended: () => this.exited };
    if (this.exit === undefined) await killProcess(id, identity, route, deadlineMs);
    if (this.exit === undefined) this.presumed.resolve({ code: -1, signal: SIGKILL });
    await within(this.forget(), KEEPER_PATIENCE_MS);
  }

  /** Not before the keeper has reaped it: then it would not be forgotten. */
  private async forget(): Promise<void> {
    await this.keeper.exited(this.id).catch(() => undefined);
    await this.keeper.forget(this.id).catch(() => undefined);
  }

  private async awaitExit(): Promise<VmmExit> {
    for (;;) {
      try {
        const { code, signal } = await this.keeper.exited(this.id);
        return { code, signal };
      } catch {
        if (!(await isAlive(this.identity))) return { code: -1, signal: 0 };
      }
      // This wait alone must not keep the daemon from ending.
      await delay(LOST_KEEPER_POLL_MS, undefined, { ref: false });
    }
  }
}
