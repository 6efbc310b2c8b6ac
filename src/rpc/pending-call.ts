/**
 * What a call needs to be given up: by its caller, by its deadline, or because the daemon ends.
 *
 * Most calls are answered at once and ask for no signal, so it is made for those who do. Every sandbox has a Wait that stays
 * open, so the daemon's end is told to a Set: an AbortSignal looks through all its listeners at each addition,
 * makes an exception with a stack at an abort without a reason, and warns of the eleventh listener.
 */

/** Something of the daemon's that happens once; whoever waits for it is told. */
export class Ending {
  private readonly listeners = new Set<() => void>();

  constructor(private readonly source: AbortSignal) {
    source.addEventListener("abort", () => this.tell(), { once: true });
  }

  get reached(): boolean {
    return this.source.aborted;
  }

  /** Calls `listener` when it happens, unless the returned function is called before. It must not have happened yet. */
  listen(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private tell(): void {
    const listeners = [...this.listeners];
    this.listeners.clear();
    for (const listener of listeners) listener();
  }
}

/** A call under way, as its method sees it. */
export class PendingCall {
  private controller: AbortController | undefined;
  private reason: Error | undefined;

  /** Aborts when nobody waits for the answer any more. */
  get signal(): AbortSignal {
    if (this.controller === undefined) {
      this.controller = new AbortController();
      if (this.reason !== undefined) this.controller.abort(this.reason);
    }
    return this.controller.signal;
  }

  /** Nobody waits any more; the first reason counts. */
  giveUp(reason: Error): void {
    if (this.reason !== undefined) return;
    this.reason = reason;
    this.controller?.abort(reason);
  }
}
