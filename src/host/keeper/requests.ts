/**
 * Requests of the daemon to the keeper: typed by `KEEPER_REQUESTS`, checked, each under a deadline.
 *
 * A request waits for the link if it has to, and is repeated after the link was lost; the keeper answers a repeated request
 * from memory. What must not be left half done when its caller gives up goes through `sendOrUndo`. After a keeper's death
 * requests are held, until the next keeper knows what it has to.
 */
import { BlazarError, blazarError } from "../../contracts/errors.ts";
import { abortable, type Deferred, deferred, throwIfAborted, withDeadline } from "../../lib/async.ts";
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

/** A request that is under way, or held. */
interface Asked<Result> {
  readonly result: Promise<Result>;
  /** Nobody waits any more; it may be done all the same. */
  abandon(error: BlazarError): void;
  /** It is not sent at all, if it has not been. */
  withdraw(error: BlazarError): void;
}

export class KeeperRequests {
  private closed = false;
  private held: Deferred<void> | undefined;

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
    return this.inTime(op, this.ask(op, params), subject);
  }

  /** Like {@link send}, also while requests are held. */
  sendAhead<Op extends KeeperOp>(
    op: Op,
    params: KeeperParams<Op>,
    subject: string,
  ): Promise<KeeperResult<Op>> {
    return this.inTime(op, this.askNow(op, params), subject);
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
    const asked = this.ask(op, params);
    const answered = asked.result.then((result) => {
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
      asked.withdraw(BlazarError.wrap(error, "Cancelled", { operation: op, subject }));
      // The answer came between the moment of giving up and this one.
      if (done) void outcome.undo();
      throw error;
    }
  }

  /** From now on requests wait for {@link release}, each for its time. */
  hold(): void {
    this.held ??= deferred();
  }

  release(): void {
    const { held } = this;
    this.held = undefined;
    held?.resolve();
  }

  /** From now on every request fails with KeeperLost. */
  close(): void {
    this.closed = true;
    this.release();
  }

  private async inTime<Op extends KeeperOp>(
    op: Op,
    asked: Asked<KeeperResult<Op>>,
    subject: string,
  ): Promise<KeeperResult<Op>> {
    const timer = setDeadline(() => asked.abandon(this.late(op, subject)), this.timeoutMs);
    try {
      return await asked.result;
    } finally {
      clearDeadline(timer);
    }
  }

  private ask<Op extends KeeperOp>(op: Op, params: unknown): Asked<KeeperResult<Op>> {
    return this.held === undefined ? this.askNow(op, params) : this.askLater(this.held.promise, op, params);
  }

  private askNow<Op extends KeeperOp>(op: Op, params: unknown): Asked<KeeperResult<Op>> {
    if (this.closed) {
      const error = blazarError("KeeperLost", op, "this end has closed the link");
      return { result: Promise.reject(error), abandon: () => undefined, withdraw: () => undefined };
    }
    const { id, result } = this.peer.request(op, params);
    const check = KEEPER_REQUESTS[op].result as (value: unknown, path: string) => KeeperResult<Op>;
    return {
      result: result.then((value) => check(value ?? {}, op)),
      abandon: (error) => this.peer.abandon(id, error),
      withdraw: () => undefined,
    };
  }

  private askLater<Op extends KeeperOp>(
    held: Promise<void>,
    op: Op,
    params: unknown,
  ): Asked<KeeperResult<Op>> {
    const { promise: result, resolve, reject } = deferred<KeeperResult<Op>>();
    let over = false;
    let asked: Asked<KeeperResult<Op>> | undefined;
    const withdraw = (error: BlazarError): void => {
      if (asked !== undefined) return;
      over = true;
      reject(error);
    };
    void held.then(() => {
      if (over) return;
      asked = this.ask(op, params);
      asked.result.then(resolve, reject);
    });
    const abandon = (error: BlazarError) => (asked === undefined ? withdraw(error) : asked.abandon(error));
    return { result, abandon, withdraw: (error) => (asked === undefined ? withdraw : asked.withdraw)(error) };
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
