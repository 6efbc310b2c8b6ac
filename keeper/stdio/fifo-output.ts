/**
 * One output stream: frames from the daemon into a FIFO that containerd reads.
 *
 * What the FIFO has taken is acknowledged: a full FIFO only holds back its own credit. It is open O_RDWR, so a containerd
 * that comes and goes raises no EPIPE. It is closed as soon as the stream's end is in, because containerd waits for that end
 * of file (fifo(7)). The object is its own set of callbacks, because there are hundreds of them.
 */
import * as sys from "sys";
import type { EventLoop, Watch } from "../../native/runtime/event-loop.ts";
import type { Logger } from "../../native/runtime/log.ts";
import { QueuedWriter, type QueuedWriterOptions } from "../../native/runtime/queued-writer.ts";
import type { StreamHandler } from "../../src/protocol/wire/peer.ts";
import { StreamReceiver, type StreamReceiverOptions } from "../../src/protocol/wire/stream.ts";
import type { StreamCredit } from "./stdio-credit.ts";

export interface FifoStreamOptions {
  /** An open, non-blocking FIFO; it is closed by the stream. */
  readonly fd: number;
  readonly stream: number;
  readonly loop: EventLoop;
  readonly log: Logger;
  readonly send: (frame: Uint8Array) => void;
}

export class FifoOutput implements StreamHandler, StreamReceiverOptions, QueuedWriterOptions {
  readonly fd: number;
  readonly stream: number;
  readonly send: (frame: Uint8Array) => void;
  /** The credit bounds what waits. */
  readonly limit = Number.MAX_SAFE_INTEGER;
  readonly watch: Watch;
  private readonly log: Logger;
  private readonly credit: StreamCredit;
  private readonly receiver: StreamReceiver;
  private readonly writer: QueuedWriter;
  /** Bytes accepted and not written. */
  private waiting = 0;
  private open = true;

  constructor({ fd, stream, loop, log, send }: FifoStreamOptions, credit: StreamCredit) {
    this.credit = credit;
    this.fd = fd;
    this.stream = stream;
    this.send = send;
    this.log = log;
    this.watch = loop.watch(fd);
    this.receiver = new StreamReceiver(this);
    this.writer = new QueuedWriter(this);
  }

  /** Nothing more will be written: containerd reads the end of file. */
  get ended(): boolean {
    return !this.open;
  }

  data(offset: number, bytes: Uint8Array): void {
    this.receiver.data(offset, bytes);
  }

  end(offset: number): void {
    this.receiver.end(offset);
  }

  attached(): void {
    this.receiver.attached();
  }

  /** For the receiver. */
  window(): number {
    return this.credit.bytes;
  }

  /** For the receiver. `bytes` is a view into the link's read buffer. */
  onData(bytes: Uint8Array): void {
    this.waiting += bytes.length;
    if (!this.writer.write(bytes.slice())) this.settle(bytes.length);
  }

  /** For the receiver. */
  onEnd(): void {
    this.writer.end(() => {
      this.close();
      this.receiver.consumedEnd();
    });
  }

  /** For the writer. */
  onProgress(written: number): void {
    this.settle(written);
  }

  /** For the writer. Whoever reads the FIFO has lost the rest; the process must not hang for it. */
  onError(error: Error): void {
    this.log.error("a FIFO takes no more output: the rest is dropped", { stream: this.stream, error });
    if (this.open) this.settle(this.waiting);
  }

  close(): void {
    if (!this.open) return;
    this.open = false;
    this.credit.release();
    this.watch.stop();
    sys.close(this.fd);
  }

  private settle(count: number): void {
    this.waiting -= count;
    this.credit.consumed(count);
    this.receiver.consumed(count);
  }
}
