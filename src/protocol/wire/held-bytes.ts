/**
 * The beginning of something that has not come whole: bytes that are added one after the other.
 *
 * The buffer doubles, so that each byte is copied a bounded number of times, however the bytes are cut.
 */

/** What is held at first. A message that is only announced costs no more. */
const LEAST_BYTES = 256;
const EMPTY = new Uint8Array(0);

export class HeldBytes {
  private buffer: Uint8Array = EMPTY;
  private used = 0;

  get length(): number {
    return this.used;
  }

  /** What is held; a view until the next call. */
  get bytes(): Uint8Array {
    return this.buffer.subarray(0, this.used);
  }

  /** Keeps a copy. */
  add(bytes: Uint8Array): void {
    const needed = this.used + bytes.length;
    if (needed > this.buffer.length) {
      const larger = new Uint8Array(Math.max(needed, 2 * this.buffer.length, LEAST_BYTES));
      larger.set(this.bytes);
      this.buffer = larger;
    }
    this.buffer.set(bytes, this.used);
    this.used = needed;
  }

  /** Hands over what is held, in a buffer that is nobody else's from now on. */
  take(): Uint8Array {
    const { bytes } = this;
    this.clear();
    return bytes;
  }

  clear(): void {
    this.buffer = EMPTY;
    this.used = 0;
  }
}
