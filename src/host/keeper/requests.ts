/**
 * Requests of the daemon to the keeper: typed by `KEEPER_REQUESTS`, checked, each under a deadline.
 *
 * A request waits for the link if it has to and is repeated after its loss; the keeper answers a repeated one
 * from memory. What must not be left half done when its caller gives up goes through `sendOrUndo`.
 */
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
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
    const timer = setTimeout(() => this.peer.abandon(id, this.late(op, subject)), this.timeoutMs);
    try {
      return await result;
    } finally {
      clearTimeout(timer);
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
    if (signal?.aborted) throw cancelled(op, subject, signal);
    let givenUp = false;
    const answered = this.ask(op, params).result.then((result) => {
      outcome.done(result);
      if (givenUp) void outcome.undo();
      return result;
    });
    let release = (): void => undefined;
    const surrendered = new Promise<never>((_, reject) => {
      const giveUp = (error: BlazarError): void => {
        givenUp = true;
        reject(error);
      };
      const aborted = (): void => giveUp(cancelled(op, subject, signal));
      const timer = setTimeout(() => giveUp(this.late(op, subject)), this.timeoutMs);
      signal?.addEventListener("abort", aborted, { once: true });
      release = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", aborted);
      };
    });
    try {
      return await Promise.race([answered, surrendered]);
    } finally {
      release();
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
      return blazarError("DeadlineExceeded", op, `no answer from the keeper within ${this.timeoutMs} ms`, {
        subject,
      });
    }
    return blazarError("KeeperLost", op, `the keeper could not be reached within ${this.timeoutMs} ms`, {
      subject,
      remedy: "see that blazar-keeper runs",
    });
  }
}

function cancelled(op: KeeperOp, subject: string, signal: AbortSignal | undefined): BlazarError {
  return blazarError("Cancelled", op, "the caller gave up", { subject, cause: signal?.reason });
}
