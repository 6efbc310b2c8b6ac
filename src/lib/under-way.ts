/**
 * Remembers work that is under way. Whoever takes things down waits for it first, so that nothing is made afterwards.
 */
export class UnderWay {
  private readonly work = new Set<Promise<unknown>>();
  private last: Promise<unknown> = Promise.resolve();

  /** Starts work, and remembers it until it settles. */
  track<T>(start: () => Promise<T>): Promise<T> {
    const promise = start();
    this.work.add(promise);
    const forget = () => this.work.delete(promise);
    promise.then(forget, forget);
    return promise;
  }

  /** As {@link track}, but starts when what was given here before has settled. */
  inTurn<T>(start: () => Promise<T>): Promise<T> {
    const before = this.last;
    const done = this.track(async () => {
      await before;
      return start();
    });
    this.last = done.catch(() => undefined);
    return done;
  }

  /** Resolves when everything that is under way now has settled. Never rejects. */
  async settled(): Promise<void> {
    await Promise.allSettled([...this.work]);
  }
}
