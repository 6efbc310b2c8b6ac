/**
 * A VMM that runs under the keeper: its end, however it comes, and putting an end to it.
 *
 * The keeper is the parent and reports the exit. Should the keeper be lost, /proc and the process's start time tell
 * whether the VMM still lives, and the signal goes out from here: a VM must not outlive its sandbox because a third
 * process is gone.
 */
import { setTimeout as delay } from "node:timers/promises";
import { blazarError } from "../../contracts/errors.ts";
import type { Keeper, ProcessIdentity } from "../../contracts/keeper.ts";
import { within } from "../../lib/async.ts";
import { isAlive } from "../../lib/processes.ts";
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

  constructor(
    private readonly keeper: VmmParent,
    readonly id: string,
    readonly identity: ProcessIdentity,
  ) {
    this.exited = this.awaitExit().then((exit) => {
      this.exit = exit;
      return exit;
    });
  }

  /** How it has ended, or undefined if it still runs after so many milliseconds. */
  exitWithin(ms: number): Promise<VmmExit | undefined> {
    return within(this.exited, ms);
  }

  /** SIGKILL, then waits until it is reaped and makes the keeper forget it. Throws DeadlineExceeded. */
  async kill(deadlineMs: number): Promise<void> {
    if (this.exit === undefined) await this.signal();
    if ((await this.exitWithin(deadlineMs)) === undefined) {
      const reason = `pid ${this.identity.pid} has not ended ${deadlineMs} ms after SIGKILL`;
      const remedy = "look for the process in state D: it waits for a device or a file system";
      throw blazarError("DeadlineExceeded", "kill the VMM", reason, { subject: this.id, remedy });
    }
    await this.keeper.forget(this.id).catch(() => undefined);
  }

  private async signal(): Promise<void> {
    try {
      await this.keeper.signal(this.id, SIGKILL);
    } catch {
      if (!(await isAlive(this.identity))) return;
      try {
        process.kill(this.identity.pid, SIGKILL);
      } catch {
        // It has ended in between.
      }
    }
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
