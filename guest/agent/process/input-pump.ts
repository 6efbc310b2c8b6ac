/**
 * Moves bytes from a stream of the link to a process's stdin or terminal.
 *
 * Bytes are consumed when the kernel has taken them, so the sender's credit bounds the queue here. Once the process
 * cannot be written to any more, bytes are dropped and counted as consumed: otherwise the sender would keep them. Owns
 * the descriptor.
 */
import * as sys from "sys";
import type { EventLoop, Watch } from "../../../native/runtime/event-loop.ts";
import type { Peer } from "../../../src/protocol/wire/peer.ts";
import { StreamReceiver } from "../../../src/protocol/wire/stream.ts";

/**
 * Size of a pipe that much is written to: it takes a sender's whole credit. A full pipe would wake the agent for each page that the
 * process reads, and each change between the two costs an emulated processor its TLB.
 */
const LARGE_PIPE_BYTES = 256 * 1024;
/** So many at once are the beginning of more. */
const MUCH_BYTES = 8 * 1024;

export class InputPump {
  private readonly peer: Peer;
  private readonly stream: number;
  private readonly fd: number;
  private readonly watch: Watch;
  private readonly receiver: StreamReceiver;
  private queue: Uint8Array[] = [];
  private open = true;
  private ended = false;
  private enlarged = false;

  /** `fd` must be non-blocking. */
  constructor(loop: EventLoop, peer: Peer, fd: number, stream: number) {
    this.peer = peer;
    this.stream = stream;
    this.fd = fd;
    this.watch = loop.watch(fd);
    this.receiver = new StreamReceiver({
      ...{ stream, prompt: true, send: (frame) => peer.send(frame) },
      onData: (bytes) => this.write(bytes),
      onEnd: () => this.endOfInput(),
    });
    peer.openStream(stream, {
      data: (offset, bytes) => this.receiver.data(offset, bytes),
      end: (offset) => this.receiver.end(offset),
      attached: () => this.receiver.attached(),
    });
  }

  /** Closes the descriptor, because the process is gone. Bytes that still arrive are dropped. */
  stop(): void {
    if (!this.open) return;
    this.open = false;
    this.watch.stop();
    sys.close(this.fd);
    const dropped = this.queue.reduce((sum, chunk) => sum + chunk.length, 0);
    this.queue = [];
    this.receiver.consumed(dropped);
    if (this.ended) this.receiver.consumedEnd();
  }

  /** Forgets the stream. */
  close(): void {
    this.stop();
    this.peer.closeStream(this.stream);
  }

  private write(bytes: Uint8Array): void {
    if (!this.open) return this.receiver.consumed(bytes.length);
    if (!this.enlarged && bytes.length >= MUCH_BYTES) this.enlarge();
    this.queue.push(bytes.slice());
    if (this.queue.length === 1) this.flush();
  }

  /** A terminal refuses. */
  private enlarge(): void {
    this.enlarged = true;
    sys.fcntl(this.fd, sys.F_SETPIPE_SZ, LARGE_PIPE_BYTES);
  }

  private flush(): void {
    for (let chunk = this.queue[0]; chunk !== undefined; chunk = this.queue[0]) {
      const count = sys.write(this.fd, chunk.buffer as ArrayBuffer, chunk.byteOffset, chunk.length);
      if (count === -sys.EAGAIN) return this.watch.setWritable(() => this.flush());
      // EPIPE: the process has closed its stdin
      if (count < 0) return this.stop();
      if (count === chunk.length) this.queue.shift();
      else this.queue[0] = chunk.subarray(count);
      this.receiver.consumed(count);
    }
    this.watch.setWritable(null);
    if (!this.ended) return;
    this.stop();
  }

  private endOfInput(): void {
    this.ended = true;
    if (!this.open) return this.receiver.consumedEnd();
    if (this.queue.length === 0) this.flush();
  }
}
