/**
 * By how much the event loop is late, as observations of a histogram: a timer of ten times a second, from the first scrape on.
 *
 * The histogram only grows, so any number of scrapers may read it. The exact delays of a benchmark are another thing
 * (loop-delay.ts). The timer does not keep the process alive.
 */
const PERIOD_MS = 100;
const MILLISECONDS = 1000;

export class LoopDelays {
  private timer: NodeJS.Timeout | undefined;

  constructor(private readonly observe: (seconds: number) => void) {}

  /** Idempotent. */
  start(): void {
    if (this.timer !== undefined) return;
    let due = performance.now() + PERIOD_MS;
    this.timer = setInterval(() => {
      const now = performance.now();
      this.observe(Math.max(0, now - due) / MILLISECONDS);
      due = now + PERIOD_MS;
    }, PERIOD_MS).unref();
  }

  stop(): void {
    clearInterval(this.timer);
    this.timer = undefined;
  }
}
