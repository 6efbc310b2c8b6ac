/**
 * Small pieces of bytes that come within one turn of the event loop go on as one: whoever sends them one by one must not make
 * others pay for a message each.
 */

/** Fewer bytes wait for more until the end of the present turn. */
const SMALL_BYTES = 4096;

export class GatheredBytes {
  private pieces: Uint8Array[] = [];
  private size = 0;

  /**
   * @param most no more bytes go on as one, unless they come as one
   * @param passOn gets a view that is good during the call only
   */
  constructor(
    private readonly most: number,
    private readonly passOn: (bytes: Uint8Array) => void,
  ) {}

  /** Takes a copy of what waits. */
  add(bytes: Uint8Array): void {
    if (bytes.length >= SMALL_BYTES) {
      this.flush();
      return this.passOn(bytes);
    }
    if (bytes.length === 0) return;
    if (this.size + bytes.length > this.most) this.flush();
    if (this.pieces.length === 0) queueMicrotask(() => this.flush());
    this.pieces.push(bytes.slice());
    this.size += bytes.length;
  }

  /** Passes on what waits, for what comes next must not overtake it. */
  flush(): void {
    const { pieces } = this;
    if (pieces.length === 0) return;
    this.clear();
    this.passOn(pieces.length === 1 ? (pieces[0] as Uint8Array) : Buffer.concat(pieces));
  }

  /** Forgets what waits. */
  clear(): void {
    this.pieces = [];
    this.size = 0;
  }
}
