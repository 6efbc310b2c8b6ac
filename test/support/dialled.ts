/** The host's end of a connection that a guest's agent has dialled: its stream, and what has come over it. */
import { encodeFrame, FrameType } from "../../src/protocol/wire/frame.ts";
import type { Peer } from "../../src/protocol/wire/peer.ts";
import { StreamReceiver, StreamSender } from "../../src/protocol/wire/stream.ts";

export class Dialled {
  received = "";
  ended = false;
  /** The guest has given it up. */
  wasReset = false;
  /** The guest has taken everything, the end included. */
  sent = false;
  private readonly sender: StreamSender;

  /** Opens the stream; `network.dial` is to follow. */
  constructor(
    private readonly peer: Peer,
    readonly stream: number,
    window: number,
  ) {
    const send = (frame: Uint8Array): void => peer.send(frame);
    const onFinished = (): void => {
      this.sent = true;
    };
    const sender = new StreamSender({ stream, send, capacity: Number.MAX_SAFE_INTEGER, onFinished });
    const receiver: StreamReceiver = new StreamReceiver({
      ...{ stream, send, window },
      onData: (bytes) => {
        this.received += Buffer.from(bytes).toString("latin1");
        receiver.consumed(bytes.length);
      },
      onEnd: () => {
        this.ended = true;
        receiver.consumedEnd();
      },
    });
    this.sender = sender;
    peer.openStream(stream, {
      data: (offset, bytes) => receiver.data(offset, bytes),
      end: (offset) => receiver.end(offset),
      acknowledged: (offset, credit) => sender.acknowledged(offset, credit),
      attached: () => receiver.attached(),
      detached: () => peer.closeStream(stream),
      reset: () => {
        this.wasReset = true;
        peer.closeStream(stream);
      },
    });
  }

  send(text: string): void {
    this.sender.write(Buffer.from(text, "latin1"));
  }

  sendEnd(): void {
    this.sender.finish();
  }

  /** Gives it up. */
  reset(): void {
    this.peer.send(encodeFrame(FrameType.Reset, this.stream, 0));
    this.peer.closeStream(this.stream);
  }
}
