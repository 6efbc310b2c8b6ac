/**
 * A QEMU that runs under the keeper: its end, however it comes, and putting an end to it.
 *
 * The keeper is the parent and reports the exit. Should the keeper be lost, /proc and the process's start time
 * tell whether it still lives, and the signal goes out from here: a VM must never outlive its sandbox because a
 * third process is gone.
 */
import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { blazarError } from "../../contracts/errors.ts";
import type { Keeper, ProcessIdentity } from "../../contracts/keeper.ts";

/** The part of the keeper that a driver needs. */
export type VmmParent = Pick<Keeper, "spawn" | "fork" | "signal" | "exited" | "forget">;

export interface VmmExit {
  /** -1 if a signal ended it, or if nobody knows. */
  readonly code: number;
  readonly signal: number;
}

const SIGKILL = 9;
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
  async exitWithin(ms: number): Promise<VmmExit | undefined> {
    const timeout = new AbortController();
    const late = delay(ms, undefined, { signal: timeout.signal }).catch(() => undefined);
    const exit = await Promise.race([this.exited, late]);
    timeout.abort();
    return exit;
  }

  /** SIGKILL, then waits until it is reaped and makes the keeper forget it. Throws DeadlineExceeded. */
  async kill(deadlineMs: number): Promise<void> {
    if (this.exit === undefined) await this.signal();
    if ((await this.exitWithin(deadlineMs)) === undefined) {
      throw blazarError(
        "DeadlineExceeded",
        "kill the VMM",
        `pid ${this.identity.pid} has not ended ${deadlineMs} ms after SIGKILL`,
        {
          subject: this.id,
          remedy: "look for the process in state D: it waits for a device or a file system",
        },
      );
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
        // gone in between
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
      await delay(LOST_KEEPER_POLL_MS, undefined, { ref: false });
    }
  }
}

/** True while the process with this pid and start time runs; a zombie does not (proc_pid_stat(5)). */
export async function isAlive(identity: ProcessIdentity): Promise<boolean> {
  const stat = await readFile(`/proc/${identity.pid}/stat`, "latin1").catch(() => "");
  // the name in parentheses may hold anything: the fields after it start with the third
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state, startTime] = [fields[0], fields[19]];
  return Number(startTime) === identity.startTime && state !== "Z" && state !== "X";
}
