/**
 * How much of a QMP connection is read at once, and how fast after that.
 *
 * A guest can have QEMU tell more than the daemon can hear: one BLOCK_IO_ERROR for each request to a disk that fails. What is beyond
 * the budget waits in QEMU, in order; nothing is dropped, and no other VM waits for it. A read of a few bytes takes the daemon as
 * long as one of some hundred, so it counts as much. Pure.
 */

/** More than all that a VM says in its life: it is never slowed down. */
const BURST_BYTES = 4 * 2 ** 20;
/** Some 4,000 events a second, which take the daemon a few hundredths of a processor. */
const BYTES_PER_MS = 2 ** 20 / 1000;
/** What a read counts at least. An event of QEMU's has about as many. */
const LEAST_READ_BYTES = 256;

export class ReadBudget {
  private left = BURST_BYTES;
  private lastAt: number;

  /** @param now milliseconds of a clock that never goes back */
  constructor(private readonly now: () => number) {
    this.lastAt = now();
  }

  /** Takes what was read. Returns for how many milliseconds nothing may be read; 0 as long as there is a budget. */
  take(bytes: number): number {
    const at = this.now();
    const cost = bytes === 0 ? 0 : Math.max(bytes, LEAST_READ_BYTES);
    this.left = Math.min(BURST_BYTES, this.left + (at - this.lastAt) * BYTES_PER_MS) - cost;
    this.lastAt = at;
    return this.left >= 0 ? 0 : Math.ceil(-this.left / BYTES_PER_MS);
  }
}
