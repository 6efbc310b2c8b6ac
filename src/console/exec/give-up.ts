/**
 * How somebody at a terminal gets away from a guest that does not answer: Ctrl-C three times within three seconds.
 *
 * A terminal in raw mode passes Ctrl-C on, and a guest that is halted obeys nothing. What answers at all says so by its output.
 */
const CTRL_C = 3;
const TIMES = 3;
const WITHIN_MS = 3_000;

export class GiveUp {
  private presses: number[] = [];

  /** The guest has sent something. */
  heard(): void {
    this.presses = [];
  }

  /** @returns whether it is enough now */
  typed(bytes: Uint8Array, now: number): boolean {
    for (const byte of bytes) {
      if (byte === CTRL_C) this.presses.push(now);
      else this.presses = [];
    }
    this.presses = this.presses.filter((at) => now - at < WITHIN_MS);
    return this.presses.length >= TIMES;
  }
}
