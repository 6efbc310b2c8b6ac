/**
 * How much of the main loop all guests together may take with what they send.
 *
 * One guest has its share (intake.ts). Twenty of them, none beyond its share, would still leave nothing to others. So when all of
 * them take too much, every share becomes smaller, until they do not. Who takes less than what is left of a share never waits.
 */

/** Of the thread's time. */
const MOST_TOGETHER = 0.5;
/** How often shares change. */
const LOOK_MS = 500;
const LEAST_PART = 1 / 32;
/** In one look. */
const GROWS_BY = 1.15;
const SHRINKS_TO = 0.8;

export class Crowd {
  private part = 1;
  private used = 0;
  private since = performance.now();

  /** A guest's bytes have taken so long. */
  add(ms: number): void {
    this.used += ms;
    const passed = performance.now() - this.since;
    if (passed < LOOK_MS) return;
    const load = this.used / passed;
    const change =
      load > MOST_TOGETHER ? Math.max(SHRINKS_TO, MOST_TOGETHER / load) : GROWS_BY ** (passed / LOOK_MS);
    this.part = Math.min(1, Math.max(LEAST_PART, this.part * change));
    this.used = 0;
    this.since = performance.now();
  }

  /** What is left of each guest's share: 1 = all of it. */
  get leftOfShare(): number {
    return this.part;
  }
}
