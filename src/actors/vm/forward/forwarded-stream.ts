/**
 * Joins a connection to the pod's `localhost` with a stream to the guest's agent, which connects to the server there.
 *
 * Ends go both ways by themselves (half-close); a reset on either side resets the other. The stream's credit bounds what
 * waits here, whatever the guest does. The guest is hostile: what it may not send ends its link (stream.ts).
 */
import { BlazarError } from "../../../contracts/errors.ts";
import type { Logger } from "../../../contracts/logger.ts";
import type { ForwardedConnection } from "../../../contracts/port-forward.ts";
import { GatheredBytes } from "../../../lib/gathered-bytes.ts";
import { encodeFrame, FrameType } from "../../../protocol/wire/frame.ts";
import { StreamReceiver, StreamSender } from "../../../protocol/wire/stream.ts";
import type { GuestLink } from "../../guest/link.ts";

/** The part of a guest's link that is needed. */
export type DialLink = Pick<
  GuestLink,
  "allotStream" | "openStream" | "closeStream" | "sendFrame" | "request"
>;

export interface ForwardedStreamOptions {
  readonly connection: ForwardedConnection;
  readonly link: DialLink;
  /** Bytes that each end lets the other one be ahead. */
  readonly window: number;
  readonly deadlineMs: number;
  readonly logger: Logger;
  /** Once, when both sides are done with it. */
  readonly onOver: () => void;
}

export class ForwardedStream {
  private readonly stream: number;
  /** To the guest. */
  private readonly sender: StreamSender;
  /** From the guest. */
  private readonly receiver: StreamReceiver;
  private over = false;
  /** Whoever has dialled sends no more. */
  private ended = false;
  /** The guest has everything, the end included. */
  private sent = false;
  /** Everything from the guest is passed on, the end included. */
  private received = false;
  private lastMove = performance.now();

  constructor(private readonly options: ForwardedStreamOptions) {
    const { connection, link, window } = options;
    const stream = link.allotStream();
    const send = (frame: Uint8Array): void => link.sendFrame(frame);
    this.stream = stream;
    this.sender = new StreamSender({
      ...{ stream, send, capacity: window },
      onRoom: () => connection.read(true),
      onFinished: () => this.allSent(),
    });
    const gathered = new GatheredBytes(window, (bytes) => {
      if (this.over) return;
      // a copy: the view may be the link's, which reads on
      const copy = bytes.slice();
      connection.write(copy, () => this.passedOn(copy.length));
    });
    this.receiver = new StreamReceiver({
      ...{ stream, send, window },
      onData: (bytes) => gathered.add(bytes),
      onEnd: () => {
        gathered.flush();
        connection.end(() => this.allReceived());
      },
    });
  }

  /** Has the agent connect, then lets bytes flow. Never rejects: where no server is, the connection is reset. */
  async start(): Promise<void> {
    const { connection, link, window, deadlineMs, logger } = this.options;
    const { family, port } = connection;
    const { stream } = this;
    this.join();
    try {
      await link.request("network.dial", { family, port, stream, window }, { deadlineMs });
      if (!this.over) connection.read(true);
    } catch (error) {
      const refused = error instanceof BlazarError && error.code === "ConnectionRefused";
      if (!refused) logger.warn({ err: error, port }, "a forwarded connection did not reach the guest");
      this.reset();
    }
  }

  /**
   * When whoever has dialled last sent or took bytes, by performance.now(). What the guest says does not count. Whoever has
   * gone takes nothing; its kernel answers bytes with a reset.
   */
  get movedAt(): number {
    return this.lastMove;
  }

  /** Gives it up: both sides see a reset. */
  reset(): void {
    if (this.over) return;
    this.options.link.sendFrame(encodeFrame(FrameType.Reset, this.stream, 0));
    this.lose();
  }

  private join(): void {
    const { sender, receiver } = this;
    this.options.connection.open({
      data: (bytes) => this.fromConnection(bytes),
      end: () => this.endOfConnection(),
      closed: () => this.connectionClosed(),
    });
    this.options.link.openStream(this.stream, {
      data: (offset, bytes) => receiver.data(offset, bytes),
      end: (offset) => receiver.end(offset),
      acknowledged: (offset, credit) => sender.acknowledged(offset, credit),
      attached: () => receiver.attached(),
      detached: () => this.lose(),
      reset: () => this.lose(),
    });
  }

  private fromConnection(bytes: Uint8Array): void {
    this.lastMove = performance.now();
    this.sender.write(bytes);
    if (this.sender.room === 0) this.options.connection.read(false);
  }

  private endOfConnection(): void {
    this.ended = true;
    this.sender.finish();
  }

  /** That is no failure once both directions have ended: what was read is still on its way to the guest. */
  private connectionClosed(): void {
    if (!(this.ended && this.received)) this.reset();
  }

  private passedOn(count: number): void {
    this.lastMove = performance.now();
    if (!this.over) this.receiver.consumed(count);
  }

  private allSent(): void {
    this.sent = true;
    if (this.received) this.finish();
  }

  private allReceived(): void {
    if (this.over) return;
    this.received = true;
    this.receiver.consumedEnd();
    if (this.sent) this.finish();
  }

  /** The guest knows already. */
  private lose(): void {
    if (this.over) return;
    this.options.connection.reset();
    this.finish();
  }

  private finish(): void {
    this.over = true;
    this.options.link.closeStream(this.stream);
    this.options.onOver();
  }
}
