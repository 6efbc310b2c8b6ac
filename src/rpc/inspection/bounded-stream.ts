/**
 * Messages to a reader that may be slow: as many wait as are allowed, then the writer is told that something is lost.
 *
 * grpc-js buffers without bound whatever is written. So nothing is written while the stream is full (its `write`
 * has answered false), and what comes meanwhile waits here.
 */

/** The part of a server's stream that is needed: a Writable of Node in object mode. */
export interface MessageSink<Message> {
  write(message: Message): boolean;
  once(event: "drain", listener: () => void): unknown;
  end(): unknown;
}

export interface Bounds<Message> {
  /** Sizes of the messages that wait may sum up to this. */
  readonly most: number;
  /** What a message counts. */
  readonly sizeOf: (message: Message) => number;
  /** Everything that waited was dropped. Called when the reader has room again, so that it can be told. */
  readonly onLost: () => void;
}

export class BoundedStream<Message> {
  private waiting: Message[] = [];
  private size = 0;
  private full = false;
  private lost = false;
  private ending = false;
  private unbounded = false;

  constructor(
    private readonly sink: MessageSink<Message>,
    private readonly bounds: Bounds<Message>,
  ) {}

  /** True from the loss of a message until {@link Bounds.onLost} was called: what is sent now is lost, too. */
  get isLost(): boolean {
    return this.lost;
  }

  send(message: Message): void {
    if (this.lost || this.ending) return;
    if (!this.full) return this.write(message);
    this.waiting.push(message);
    this.size += this.bounds.sizeOf(message);
    if (!this.unbounded && this.size > this.bounds.most) this.lose();
  }

  /** What is sent before `act` returns is not lost, however much it is: it is there at once, and once only. */
  whole(act: () => void): void {
    this.unbounded = true;
    act();
    this.unbounded = false;
  }

  /** Ends the stream after what waits. */
  end(): void {
    this.ending = true;
    if (!this.full) this.sink.end();
  }

  private write(message: Message): void {
    if (this.sink.write(message)) return;
    this.full = true;
    this.sink.once("drain", () => this.drained());
  }

  private drained(): void {
    this.full = false;
    if (this.lost) {
      this.lost = false;
      if (!this.ending) this.bounds.onLost();
    }
    const waiting = this.waiting;
    let next = 0;
    while (!this.full && next < waiting.length) {
      const message = waiting[next++] as Message;
      this.size -= this.bounds.sizeOf(message);
      this.write(message);
    }
    this.waiting = waiting.slice(next);
    if (this.ending && !this.full) this.sink.end();
  }

  private lose(): void {
    this.lost = true;
    this.waiting = [];
    this.size = 0;
  }
}
