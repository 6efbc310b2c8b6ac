/**
 * A call that has no answer yet, and whether somebody still waits for it.
 *
 * A caller leaves, a deadline passes or the daemon ends: {@link PendingCall.giveUp} tells the method by its signal.
 * Most methods answer at once and never look at the signal, so it is made when it is first asked for.
 */

/** A call under way, as its method sees it. */
export class PendingCall {
  private controller: AbortController | undefined;
  private reason: Error | undefined;

  /** @param traceparent of the call's metadata (W3C Trace Context), if it has one */
  constructor(readonly traceparent?: string) {}

  /** Aborts when nobody waits for the answer any more. */
  get signal(): AbortSignal {
    if (this.controller === undefined) {
      this.controller = new AbortController();
      if (this.reason !== undefined) this.controller.abort(this.reason);
    }
    return this.controller.signal;
  }

  /** Nobody waits any more. The first reason counts. */
  giveUp(reason: Error): void {
    if (this.reason !== undefined) return;
    this.reason = reason;
    this.controller?.abort(reason);
  }
}
