/**
 * A guest's link whose hosts die and are replaced, byte by byte: what a virtio-serial port does to the frames on it.
 *
 * Each host's bytes begin a read of their own, because the device puts them into a buffer of their own. Everything else may
 * be torn anywhere. The guest may miss that a host has gone, or see it late. On the far side is what outlives all hosts:
 * the keeper's ends of one output and one input stream.
 */
import type { BlazarError } from "../../src/contracts/errors.ts";
import { nodeText } from "../../src/lib/text.ts";
import { encodeFrame, FrameType, GUEST_MAX_FRAME_BYTES } from "../../src/protocol/wire/frame.ts";
import { markBytes, markOf } from "../../src/protocol/wire/hello.ts";
import { Peer } from "../../src/protocol/wire/peer.ts";
import { StreamReceiver, StreamSender } from "../../src/protocol/wire/stream.ts";

const OUTPUT = 1;
const INPUT = 2;
const MARK = markOf("00112233445566778899aabbccddeeff");

/** How a host dies. */
export interface Death {
  /** So many bytes that it has sent still reach the guest. */
  readonly reach: number;
  /** So many bytes that the guest has sent are lost; the next host gets the rest. */
  readonly lost: number;
  /** The guest sees that the host has gone. */
  readonly seen: boolean;
}

/** The one who looks at what has come of the input. */
class Keeper {
  readonly output: number[] = [];
  outputEnded = false;
  host: Host | undefined;
  readonly receiver = new StreamReceiver({
    stream: OUTPUT,
    send: (frame) => this.host?.ackOutput(frame),
    onData: (bytes) => {
      this.output.push(...bytes);
      this.receiver.consumed(bytes.length);
    },
    onEnd: () => {
      this.outputEnded = true;
      this.receiver.consumedEnd();
    },
  });
  readonly sender = new StreamSender({ stream: INPUT, send: (frame) => this.host?.passInput(frame) });
}

class Host {
  readonly violations: BlazarError[] = [];
  readonly events: string[] = [];
  readonly peer: Peer;

  constructor(
    readonly number: number,
    private readonly keeper: Keeper,
    private readonly link: TwoHosts,
  ) {
    let asked = 0;
    this.peer = new Peer({
      session: `host-${number}`,
      text: nodeText,
      maxFrameBytes: GUEST_MAX_FRAME_BYTES,
      ownsStreams: true,
      beginning: {
        nonce: () => `nonce-${number}-${asked++}`,
        mark: MARK,
        marked: number > 1,
        onUnanswered: () => link.unanswered(),
      },
      helloBody: () => ({ role: "host" }),
      onHello: () => undefined,
      onRequest: () => undefined,
      onEvent: (event) => this.events.push(event),
      onViolation: (error) => this.violations.push(error),
    });
  }

  begin(): void {
    this.keeper.host = this;
    this.peer.attach((bytes) => this.link.fromHost(bytes));
    this.peer.openStream(OUTPUT, {
      attached: () => this.keeper.receiver.attached(),
      data: (offset, bytes) => this.keeper.receiver.data(offset, bytes),
      end: (offset) => this.keeper.receiver.end(offset),
    });
    this.peer.openStream(INPUT, {
      acknowledged: (offset, window) => this.keeper.sender.acknowledged(offset, window),
      detached: () => this.keeper.sender.detached(),
    });
    this.keeper.sender.detached();
  }

  ackOutput(frame: Uint8Array): void {
    this.peer.send(frame);
  }

  passInput(frame: Uint8Array): void {
    this.peer.send(frame);
  }
}

export class TwoHosts {
  readonly keeper = new Keeper();
  readonly guest: Peer;
  readonly guestViolations: BlazarError[] = [];
  /** What has come to the process's stdin. */
  readonly input: number[] = [];
  readonly requests: string[] = [];
  host: Host;
  private readonly sender: StreamSender;
  private readonly receiver: StreamReceiver;
  private toGuest: Uint8Array[] = [];
  private toHost: Uint8Array = new Uint8Array(0);
  private askAgain = false;
  private attached = false;
  private written = 0;
  private typed = 0;

  constructor() {
    this.guest = new Peer({
      session: "guest",
      text: nodeText,
      maxFrameBytes: GUEST_MAX_FRAME_BYTES,
      ownsStreams: false,
      helloBody: () => ({ role: "guest" }),
      onHello: () => undefined,
      onRequest: (op) => {
        this.requests.push(op);
        return op;
      },
      onEvent: () => undefined,
      onReplaced: () => {
        this.toHost = this.toHost.subarray(0, this.sent());
      },
      onViolation: (error) => this.guestViolations.push(error),
    });
    this.sender = new StreamSender({
      stream: OUTPUT,
      send: (frame) => this.guest.send(frame),
      capacity: Number.MAX_SAFE_INTEGER,
      onFinished: () => this.guest.closeStream(OUTPUT),
    });
    this.receiver = new StreamReceiver({
      stream: INPUT,
      send: (frame) => this.guest.send(frame),
      onData: (bytes) => {
        this.input.push(...bytes);
        this.receiver.consumed(bytes.length);
      },
      onEnd: () => this.receiver.consumedEnd(),
    });
    this.guest.openStream(OUTPUT, {
      acknowledged: (offset, window) => this.sender.acknowledged(offset, window),
      detached: () => this.sender.detached(),
    });
    this.guest.openStream(INPUT, {
      data: (offset, bytes) => this.receiver.data(offset, bytes),
      end: (offset) => this.receiver.end(offset),
      attached: () => this.receiver.attached(),
    });
    this.host = new Host(1, this.keeper, this);
    this.host.begin();
    this.attachGuest();
    // a host is followed by another one only if its guest has been there
    this.settle();
  }

  /** The process writes; each byte counts on. */
  write(count: number): void {
    this.sender.write(Uint8Array.from({ length: count }, () => this.written++ % 251));
  }

  endOutput(): void {
    this.sender.finish();
  }

  /** containerd writes to stdin. */
  type(count: number): void {
    this.keeper.sender.write(Uint8Array.from({ length: count }, () => this.typed++ % 251));
  }

  expectedOutput(): number[] {
    return Array.from({ length: this.written }, (_, index) => index % 251);
  }

  expectedInput(): number[] {
    return Array.from({ length: this.typed }, (_, index) => index % 251);
  }

  /** So many bytes go to the guest, torn where they are. */
  deliverToGuest(bytes: number): void {
    let left = bytes;
    while (left > 0) {
      const first = this.toGuest[0];
      if (first === undefined) return;
      const piece = first.subarray(0, Math.max(left, leastOf(first)));
      if (piece.length === first.length) this.toGuest.shift();
      else this.toGuest[0] = first.subarray(piece.length);
      left -= piece.length;
      this.guest.receive(piece.slice());
    }
  }

  deliverToHost(bytes: number): void {
    const piece = this.toHost.slice(0, bytes);
    this.toHost = this.toHost.slice(piece.length);
    if (piece.length > 0) this.host.peer.receive(piece);
  }

  /** The host dies, and the next one connects. */
  kill({ reach, lost, seen }: Death): void {
    const { host } = this;
    host.peer.detach();
    this.cutAfter(reach);
    this.toHost = this.toHost.slice(Math.min(lost, this.toHost.length));
    if (seen) {
      this.toGuest = [];
      this.toHost = new Uint8Array(0);
      this.guest.detach();
      this.attached = false;
    }
    this.host = new Host(host.number + 1, this.keeper, this);
    this.host.begin();
    if (seen) this.attachGuest();
  }

  /** Everything that is under way arrives; a host that got no answer asks again. */
  settle(): void {
    for (let quiet = 0; quiet < 2; ) {
      const before = this.toGuest.length + this.toHost.length;
      this.deliverToGuest(Number.MAX_SAFE_INTEGER);
      this.deliverToHost(Number.MAX_SAFE_INTEGER);
      if (this.askAgain) this.host.peer.greetAgain();
      this.askAgain = false;
      quiet = before + this.toGuest.length + this.toHost.length === 0 ? quiet + 1 : 0;
    }
  }

  unanswered(): void {
    this.askAgain = true;
  }

  fromHost(bytes: Uint8Array): void {
    this.toGuest.push(bytes.slice());
  }

  private attachGuest(): void {
    if (this.attached) return;
    this.attached = true;
    this.guest.attach((bytes) => {
      const joined = new Uint8Array(this.toHost.length + bytes.length);
      joined.set(this.toHost);
      joined.set(bytes, this.toHost.length);
      this.toHost = joined;
    });
  }

  /** Half of what waits is in the device already. */
  private sent(): number {
    return Math.floor(this.toHost.length / 2);
  }

  private cutAfter(bytes: number): void {
    let left = bytes;
    this.toGuest = this.toGuest.flatMap((chunk) => {
      const kept = chunk.subarray(0, left);
      left -= kept.length;
      return kept.length === 0 ? [] : [kept];
    });
  }
}

/** A mark comes whole, unless its host has died in it. */
function leastOf(chunk: Uint8Array): number {
  const mark = markBytes(MARK);
  return mark.every((byte, index) => chunk[index] === byte) ? mark.length : 1;
}

/** Frames that look like those of a host, for a container's output. */
export function forgedHello(session: string, answers?: string): Uint8Array {
  const hello = { version: 1, session, eventsHandled: 0, answers, body: { role: "guest" } };
  return encodeFrame(FrameType.Hello, 0, 0, nodeText.encode(JSON.stringify(hello)));
}
