/**
 * Requests of the daemon to the keeper: typed by `KEEPER_REQUESTS`, checked, each under a deadline.
 *
 * A request waits for the link if it has to, and is repeated after the link was lost; the keeper answers a repeated request
 * from memory. What must not be left half done when its caller gives up goes through `sendOrUndo`.
 */
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import { abortable, throwIfAborted, withDeadline } from "../../lib/async.ts";
import { clearDeadline, setDeadline } from "../../lib/deadline-timer.ts";
import {
  KEEPER_REQUESTS,
  type KeeperOp,
  type KeeperParams,
  type KeeperResult,
} from "../../protocol/keeper/messages.ts";
import type { Peer } from "../../protocol/wire/peer.ts";

/** What becomes of an answer. */
export interface Outcome<Result> {
  /** It was done, whether or not somebody still waits for it. */
  done(result: Result): void;
  /** It was done, but the caller has given up. */
  undo(): Promise<void>;
}

type Loose<Params> = { readonly [Name in keyof Params]?: unknown };

export class KeeperRequests {
  private closed = false;

  constructor(
    private readonly peer: Peer,
    private readonly timeoutMs: number,
  ) {}

  /** Throws DeadlineExceeded or KeeperLost when the time is over, else what the keeper answers. */
  async send<Op extends KeeperOp>(
    op: Op,
    params: KeeperParams<Op>,
    subject: string,
  ): Promise<KeeperResult<Op>> {
    const { id, result } = this.ask(op, params);
    const timer = setDeadline(() => this.peer.abandon(id, this.late(op, subject)), this.timeoutMs);
    try {
      return await result;
    } finally {
      clearDeadline(timer);
    }
  }

  /** Like {@link send}; also throws Cancelled. If it is done after the caller has given up, it is undone. */
  async sendOrUndo<Op extends KeeperOp>(
    op: Op,
    params: Loose<KeeperParams<Op>>,
    subject: string,
    signal: AbortSignal | undefined,
    outcome: Outcome<KeeperResult<Op>>,
  ): Promise<KeeperResult<Op>> {
    const what = { operation: op, subject };
    throwIfAborted(signal, what);
    let [done, givenUp] = [false, false];
    const answered = this.ask(op, params).result.then((result) => {
      done = true;
      outcome.done(result);
      if (givenUp) void outcome.undo();
      return result;
    });
    const late = (): BlazarError => this.late(op, subject);
    try {
      return await withDeadline(abortable(answered, signal, what), this.timeoutMs, late);
    } catch (error) {
      givenUp = true;
      // The answer came between the moment of giving up and this one.
      if (done) void outcome.undo();
      throw error;
    }
  }

  /** From now on every request fails with KeeperLost. */
  close(): void {
    this.closed = true;
  }

  private ask<Op extends KeeperOp>(
    op: Op,
    params: unknown,
  ): { id: number; result: Promise<KeeperResult<Op>> } {
    if (this.closed) {
      const error = blazarError("KeeperLost", op, "this end has closed the link");
      return { id: 0, result: Promise.reject(error) };
    }
    const { id, result } = this.peer.request(op, params);
    const check = KEEPER_REQUESTS[op].result as (value: unknown, path: string) => KeeperResult<Op>;
    return { id, result: result.then((value) => check(value ?? {}, op)) };
  }

  private late(op: KeeperOp, subject: string): BlazarError {
    if (this.peer.attached) {
      const reason = `no answer from the keeper within ${this.timeoutMs} ms`;
      return blazarError("DeadlineExceeded", op, reason, { subject });
    }
    const reason = `the keeper could not be reached within ${this.timeoutMs} ms`;
    return blazarError("KeeperLost", op, reason, { subject, remedy: "see that blazar-keeper runs" });
  }
}
