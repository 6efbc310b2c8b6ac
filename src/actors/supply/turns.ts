/**
 * Turns to do what keeps a processor busy, such as starting a VM: so many at a time, first come first served.
 *
 * Fifty VMs that boot at once on two cores are all slow; in turns the first are as quick as alone. A wait is given up
 * by its signal and leaves no place taken.
 */
import { cancelled, onAbort } from "../../lib/async.ts";

/** Gives the turn back; idempotent. */
export type EndTurn = () => void;

export class Turns {
  private taken = 0;
  private readonly waiting: (() => void)[] = [];

  /** With `longestMs` a turn ends by itself after so long: for work that somebody hostile may draw out. */
  constructor(
    private readonly limit: number,
    private readonly longestMs?: number,
  ) {}

  /** How many wait. */
  get queued(): number {
    return this.waiting.length;
  }

  /** How many are under way. */
  get running(): number {
    return this.taken;
  }

  /** Waits for a turn. Rejects with Cancelled when `signal` aborts. */
  async take(signal: AbortSignal): Promise<EndTurn> {
    if (this.taken >= this.limit) await this.wait(signal);
    else this.taken++;
    let ended = false;
    let timer: NodeJS.Timeout | undefined;
    const end = () => {
      clearTimeout(timer);
      if (ended) return;
      ended = true;
      this.pass();
    };
    if (this.longestMs !== undefined) timer = setTimeout(end, this.longestMs).unref();
    return end;
  }

  /** Waits for a turn and keeps it while `work` is under way. Rejects with Cancelled, or as `work` does. */
  async during<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const end = await this.take(signal);
    try {
      return await work();
    } finally {
      end();
    }
  }

  /** Hands the turn to the next in the queue, or takes it back. */
  private pass(): void {
    const next = this.waiting.shift();
    if (next === undefined) this.taken--;
    else next();
  }

  private wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const go = () => {
        forget();
        resolve();
      };
      this.waiting.push(go);
      const forget = onAbort(signal, () => {
        const place = this.waiting.indexOf(go);
        if (place < 0) return;
        this.waiting.splice(place, 1);
        reject(cancelled({ operation: "wait for a turn to start" }, "the start was given up"));
      });
    });
  }
}
