/**
 * How far ahead the output streams may be of the FIFOs that they go to, and the inputs of the processes that read them: what bounds
 * the keeper's memory.
 *
 * A stream begins with little credit, which grows while its reader takes what comes, as long as the sum allows it. So a node
 * with thousands of streams that nobody reads holds little for each, and one that is read flows at its full rate.
 */
import { DEFAULT_WINDOW_BYTES } from "../../src/protocol/wire/stream.ts";

/** What a stream may always be ahead: the kernel's own buffer of a FIFO takes as much in one write. */
export const LEAST_CREDIT_BYTES = 16 * 1024;
/** Of all streams, beyond {@link LEAST_CREDIT_BYTES} of each. */
export const MOST_EXTRA_BYTES = 48 * 1024 * 1024;

/** What of an input may always be kept here. */
export const LEAST_INPUT_BYTES = 4 * 1024;
/** Of all inputs, beyond {@link LEAST_INPUT_BYTES} of each. */
export const MOST_EXTRA_INPUT_BYTES = 16 * 1024 * 1024;

/** The shares of all streams. */
export class StdioCredit {
  private extra = 0;

  constructor(private readonly mostExtra: number = MOST_EXTRA_BYTES) {}

  /** So many bytes more for somebody. False if there is no room for them. */
  take(bytes: number): boolean {
    if (this.extra + bytes > this.mostExtra) return false;
    this.extra += bytes;
    return true;
  }

  giveBack(bytes: number): void {
    this.extra -= bytes;
  }
}

/** The share of one stream. */
export class StreamCredit {
  private moved = 0;
  private share: number;

  constructor(
    private readonly all: StdioCredit,
    private readonly least = LEAST_CREDIT_BYTES,
  ) {
    this.share = least;
  }

  /** As {@link bytes}, without a change of it. */
  get present(): number {
    return this.share;
  }

  /** It needs more at once. False if it has all that it may have. */
  grow(): boolean {
    const more = Math.min(this.share, DEFAULT_WINDOW_BYTES - this.share);
    if (more === 0 || !this.all.take(more)) return false;
    this.share += more;
    return true;
  }

  /** So many bytes were read by whoever reads the FIFO. */
  consumed(count: number): void {
    this.moved += count;
  }

  /** How many bytes the stream may be ahead: more than the last time if half of that has been consumed. */
  get bytes(): number {
    if (this.moved >= this.share / 2) this.grow();
    this.moved = 0;
    return this.share;
  }

  /** It needs no more than any stream has, now or any more; idempotent. */
  release(): void {
    this.all.giveBack(this.share - this.least);
    this.share = this.least;
  }
}
