/**
 * TCP servers of the fake guest, which `network.dial` reaches: their connections over the real protocol.
 */
import { blazarError } from "../../../src/contracts/errors.ts";
import type { NetworkDial } from "../../../src/protocol/guest/dial.ts";
import { encodeFrame, FrameType } from "../../../src/protocol/wire/frame.ts";
import type { Peer } from "../../../src/protocol/wire/peer.ts";
import { StreamReceiver, StreamSender } from "../../../src/protocol/wire/stream.ts";

/** What a server does with each of its connections; nothing by itself. */
export interface ServerScript {
  /** Sends back what comes, and ends when that ends. */
  readonly echo?: boolean;
  /** Says so at once, and ends. */
  readonly says?: string;
  /** Takes nothing of what comes. */
  readonly deaf?: boolean;
}

/** A connection as the server has it. */
export class FakeServed {
  received = "";
  ended = false;
  /** The host has given it up. */
  wasReset = false;
  readonly sender: StreamSender;
  private readonly receiver: StreamReceiver;

  constructor(
    private readonly peer: Peer,
    readonly dial: NetworkDial,
    script: ServerScript,
  ) {
    const { stream, window } = dial;
    const send = (frame: Uint8Array): void => peer.send(frame);
    this.sender = new StreamSender({ stream, send, capacity: Number.MAX_SAFE_INTEGER });
    const receiver: StreamReceiver = new StreamReceiver({
      ...{ stream, send, window },
      onData: (bytes) => {
        this.received += Buffer.from(bytes).toString();
        if (script.echo === true) this.sender.write(bytes.slice());
        if (script.deaf !== true) receiver.consumed(bytes.length);
      },
      onEnd: () => {
        this.ended = true;
        receiver.consumedEnd();
        if (script.echo === true) this.sender.finish();
      },
    });
    this.receiver = receiver;
    peer.openStream(stream, {
      data: (offset, bytes) => this.receiver.data(offset, bytes),
      end: (offset) => this.receiver.end(offset),
      acknowledged: (offset, credit) => this.sender.acknowledged(offset, credit),
      attached: () => this.receiver.attached(),
      detached: () => this.sender.detached(),
      reset: () => {
        this.wasReset = true;
      },
    });
    if (script.says === undefined) return;
    this.sender.write(new TextEncoder().encode(script.says));
    this.sender.finish();
  }

  /** The server resets the connection. */
  reset(): void {
    this.peer.send(encodeFrame(FrameType.Reset, this.dial.stream, 0));
    this.peer.closeStream(this.dial.stream);
  }
}

export class FakeServers {
  /** By port. */
  readonly listening = new Map<number, ServerScript>();
  /** Every connection that was made. */
  readonly served: FakeServed[] = [];

  dial(peer: Peer, params: NetworkDial): Record<string, never> {
    const script = this.listening.get(params.port);
    if (script === undefined)
      throw blazarError("ConnectionRefused", "connect to a server in the guest", "nobody listens");
    this.served.push(new FakeServed(peer, params, script));
    return {};
  }
}
