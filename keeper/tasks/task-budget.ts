/**
 * What may wait in all Task connections together: half-read requests, requests without an answer, answers not taken.
 *
 * When it is used up, a connection that holds little may go on, so that one pod's huge requests do not keep the calls of the
 * others away. Of the other connections one at a time may finish the request that it is in the middle of: half requests
 * alone must not use it up for good.
 */

/** Of all connections. */
export const MOST_TASK_BYTES = 24 * 1024 * 1024;
/** What each may hold in any case. */
export const SMALL_TASK_BYTES = 64 * 1024;

/** A connection, as far as the budget goes. */
export interface Holder {
  /** The budget has room again, or its turn may have come. */
  roomAgain(): void;
}

export class TaskBudget {
  private readonly held = new Map<Holder, number>();
  private total = 0;
  private full = false;
  private turn: Holder | undefined;

  constructor(private readonly most: number = MOST_TASK_BYTES) {}

  /** Bytes that all hold. */
  get bytes(): number {
    return this.total;
  }

  /** Whether somebody may read on. `unfinished`: it is in the middle of a request. */
  allows(holder: Holder, unfinished: boolean): boolean {
    if (this.total < this.most || (this.held.get(holder) ?? 0) < SMALL_TASK_BYTES) return true;
    this.full = true;
    if (this.turn === undefined && unfinished) this.turn = holder;
    return this.turn === holder;
  }

  /** What somebody holds now. */
  holds(holder: Holder, bytes: number, unfinished: boolean): void {
    this.total += bytes - (this.held.get(holder) ?? 0);
    this.held.set(holder, bytes);
    this.moveOn(holder, unfinished);
  }

  /** It is closed. */
  forget(holder: Holder): void {
    this.total -= this.held.get(holder) ?? 0;
    this.held.delete(holder);
    this.moveOn(holder, false);
  }

  private moveOn(holder: Holder, unfinished: boolean): void {
    const turnIsOver = this.turn === holder && !unfinished;
    if (turnIsOver) this.turn = undefined;
    if (!this.full || (!turnIsOver && this.total >= this.most)) return;
    this.full = this.total >= this.most;
    for (const each of [...this.held.keys()]) each.roomAgain();
  }
}
