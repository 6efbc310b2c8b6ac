/**
 * Spreads calls that arrive at once over several turns of the event loop.
 *
 * containerd sends fifty calls in one packet, and Node hands all of them out in one turn. The first step of a start
 * takes half a millisecond, so that turn would take thirty, and no container's output would move meanwhile. So work
 * runs at once while the turn is young. Other work runs in a later turn, in the order of its arrival.
 */

/** How much of a turn calls may take before the next one has to wait; a single one may take longer. */
const BUDGET_MS = 1;

export class TurnBudget {
  private readonly waiting: (() => void)[] = [];
  private spent = 0;
  private scheduled = false;

  constructor(
    private readonly now: () => number = () => performance.now(),
    /** Calls back in the next turn. */
    private readonly nextTurn: (callback: () => void) => void = (callback) => void setImmediate(callback),
  ) {}

  /** Runs `work` now or in a later turn. What it throws, the promise rejects with. */
  run<T>(work: () => Promise<T>): Promise<T> {
    if (this.waiting.length === 0 && this.spent < BUDGET_MS) return this.measure(work);
    return new Promise((resolve, reject) => {
      this.waiting.push(() => {
        this.measure(work).then(resolve, reject);
      });
      this.schedule();
    });
  }

  private measure<T>(work: () => Promise<T>): Promise<T> {
    const started = this.now();
    this.schedule();
    try {
      return work();
    } finally {
      this.spent += this.now() - started;
    }
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    this.nextTurn(() => this.turn());
  }

  private turn(): void {
    this.scheduled = false;
    this.spent = 0;
    while (this.spent < BUDGET_MS) {
      const next = this.waiting.shift();
      if (next === undefined) return;
      next();
    }
    if (this.waiting.length > 0) this.schedule();
  }
}
