/**
 * Who may do what when: turns for starts and for what keeps guests busy, and the pauses in between.
 *
 * One for a node. Fifty VMs that start at once on two cores are all slow; in turns the first are as quick as alone.
 */
import { cancelled, pause } from "../../lib/async.ts";
import { Activity } from "./activity.ts";
import { Turns } from "./turns.ts";

/** A pod's containers follow its sandbox: only after this long without a start is it a pause. */
const QUIET_MS = 300;
/** More at once would only lengthen the turns of the event loop: one thread takes their steps. */
const PARALLEL_PROVISIONS = 2;
/** A guest that takes longer for a container is slow by itself, or hostile: it must not hold up the others. */
const LONGEST_GUEST_TURN_MS = 2_000;

/** When the node counts as doing nothing else. */
export interface PauseOptions {
  /** After this long, in milliseconds, it is enough that nobody waits for a turn; default: never. */
  readonly patienceMs?: number;
  /** Not before something has been started at all. */
  readonly afterFirst?: boolean;
}

export class Pace {
  /** For starting a fresh VM. */
  readonly starts: Turns;
  /** For what keeps a guest's processors busy: guests that take turns lose less to each other. */
  readonly guests: Turns;
  /** For the many small steps of making a sandbox: fifty at once would end in the same turn of the event loop. */
  readonly provisions = new Turns(PARALLEL_PROVISIONS);
  readonly activity: Activity;

  constructor(
    parallelStarts: number,
    private readonly now: () => number,
  ) {
    this.starts = new Turns(parallelStarts);
    this.guests = new Turns(parallelStarts, LONGEST_GUEST_TURN_MS);
    this.activity = new Activity(now);
  }

  /** Waits until nobody starts anything, and nobody has for a moment. Rejects with Cancelled. */
  async pause(signal: AbortSignal, options: PauseOptions = {}): Promise<void> {
    const { patienceMs = Number.POSITIVE_INFINITY, afterFirst = false } = options;
    const { activity, starts } = this;
    const patience = this.now() + patienceMs;
    while (!signal.aborted) {
      const { idleMs } = activity;
      const quiet = idleMs >= QUIET_MS && (Number.isFinite(idleMs) || !afterFirst);
      if (starts.queued === 0) {
        if (quiet && starts.running === 0) return;
        if (this.now() >= patience) return;
      }
      await pause(QUIET_MS / 3, signal);
    }
    throw cancelled({ operation: "wait for a pause" }, "it is not wanted any more");
  }
}
