/**
 * Work that is under way, so that whoever takes things down can wait for it: nothing is then made behind their back.
 */
export class UnderWay {
  private readonly work = new Set<Promise<unknown>>();

  /** Remembers work until it settles. */
  track<T>(start: () => Promise<T>): Promise<T> {
    const promise = start();
    this.work.add(promise);
    const forget = () => this.work.delete(promise);
    promise.then(forget, forget);
    return promise;
  }

  /** Resolves when all that is under way now has settled. Never rejects. */
  async settled(): Promise<void> {
    await Promise.allSettled([...this.work]);
  }
}
