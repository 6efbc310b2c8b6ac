/**
 * The leases of this process: how many are out on each template, and the mark on disk that tells other processes.
 *
 * The mark is made before the first lease is given and goes after the last one has come back. Marks are written one after
 * the other, since a lease may come and go while one is being written.
 */
export class Leases {
  private readonly counts = new Map<string, number>();
  private readonly marked = new Set<string>();
  private writing: Promise<unknown> = Promise.resolve();

  /** `mark` is TemplateFiles'; false = the template is gone. `onError` hears of marks that could not be removed. */
  constructor(
    private readonly mark: (key: string, held: boolean) => Promise<boolean>,
    private readonly onError: (error: unknown) => void,
  ) {}

  /** Undefined = the template is gone. Throws what `mark` throws. */
  async take(key: string): Promise<(() => void) | undefined> {
    this.counts.set(key, this.count(key) + 1);
    let taken = true;
    const release = (): void => {
      if (!taken) return;
      taken = false;
      this.giveBack(key);
    };
    try {
      if (await this.settle(key)) return release;
    } catch (error) {
      release();
      throw error;
    }
    release();
    return undefined;
  }

  /** How many are out. */
  count(key: string): number {
    return this.counts.get(key) ?? 0;
  }

  /** The template is gone, and its mark with it; one built in its place gets a mark of its own. */
  lost(key: string): void {
    this.marked.delete(key);
  }

  /** Gives all back and waits until the marks are gone. */
  async close(): Promise<void> {
    for (const key of [...this.counts.keys()]) {
      this.counts.delete(key);
      this.settle(key).catch(this.onError);
    }
    await this.writing;
  }

  private giveBack(key: string): void {
    const left = this.count(key) - 1;
    if (left > 0) {
      this.counts.set(key, left);
      return;
    }
    if (this.counts.delete(key)) this.settle(key).catch(this.onError);
  }

  /** Makes the mark agree with the count; false = there is nothing to put it on. */
  private settle(key: string): Promise<boolean> {
    const step = this.writing.then(async () => {
      const wanted = this.count(key) > 0;
      if (wanted === this.marked.has(key)) return true;
      if (!(await this.mark(key, wanted))) return false;
      if (wanted) this.marked.add(key);
      else this.marked.delete(key);
      return true;
    });
    this.writing = step.catch(() => undefined);
    return step;
  }
}
