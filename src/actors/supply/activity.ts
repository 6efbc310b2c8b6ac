/**
 * Whether the node is busy starting something: the pool is refilled in the pauses.
 */
export class Activity {
  private active = 0;
  private lastEnd = Number.NEGATIVE_INFINITY;

  constructor(private readonly now: () => number) {}

  /** Marks work as under way until it settles. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.active++;
    try {
      return await work();
    } finally {
      this.active--;
      this.lastEnd = this.now();
    }
  }

  /** Milliseconds since the last start ended; 0 while one is under way. */
  get idleMs(): number {
    return this.active > 0 ? 0 : this.now() - this.lastEnd;
  }
}
