/**
 * A moment that comes once, such as the end of the daemon, for as many listeners as there are calls.
 *
 * Every sandbox has a Wait that stays open, so thousands may listen. An AbortSignal searches all its listeners whenever
 * one is added, and warns of the eleventh. So one listener is on the signal, and the calls are in a Set.
 */
import { onAbort } from "../lib/async.ts";

export class Ending {
  private readonly listeners = new Set<() => void>();

  constructor(private readonly source: AbortSignal) {
    onAbort(source, () => this.tell());
  }

  get reached(): boolean {
    return this.source.aborted;
  }

  /** Calls `listener` once when the moment comes, at once if it has come. Returns what takes the listener away. */
  listen(listener: () => void): () => void {
    if (this.reached) {
      listener();
      return () => undefined;
    }
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private tell(): void {
    const listeners = [...this.listeners];
    this.listeners.clear();
    for (const listener of listeners) listener();
  }
}
