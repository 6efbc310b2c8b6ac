/**
 * Remembers work that is under way. Whoever takes things down waits for it first, so that nothing is made afterwards.
 */
export class UnderWay {
  private readonly work = new Set<Promise<unknown>>();

  /** Starts work, and remembers it until it settles. */
  track<T>(start: () => Promise<T>): Promise<T> {
    const promise = start();
    this.work.add(promise);
    const forget = () => this.work.delete(promise);
    promise.then(forget, forget);
    return promise;
  }

  /** Resolves when everything that is under way now has settled. Never rejects. */
  async settled(): Promise<void> {
    await Promise.allSettled([...this.work]);
  }
}
