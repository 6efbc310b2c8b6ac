/**
 * One output stream: frames from the daemon into a FIFO that containerd reads.
 *
 * What the FIFO has taken is acknowledged: a full FIFO only holds back its own credit. It is open O_RDWR, so a containerd
 * that comes and goes raises no EPIPE. It is closed as soon as the stream's end is in, because containerd waits for that end
 * of file (fifo(7)). The object is its own set of callbacks, because there are hundreds of them.
 */
import * as sys from "sys";
import type { EventLoop, Watch } from "../native/runtime/event-loop.ts";
import type { Logger } from "../native/runtime/log.ts";
import { QueuedWriter, type QueuedWriterOptions } from "../native/runtime/queued-writer.ts";
import type { StreamHandler } from "../src/protocol/wire/peer.ts";
import {
  DEFAULT_WINDOW_BYTES,
  StreamReceiver,
  type StreamReceiverOptions,
} from "../src/protocol/wire/stream.ts";

/** Credit of a stream: what the keeper may have to hold if nobody reads, so the bound of its memory. */
export const STDIO_WINDOW_BYTES = DEFAULT_WINDOW_BYTES;

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
  readonly window = STDIO_WINDOW_BYTES;
  /** The credit bounds what waits. */
  readonly limit = Number.MAX_SAFE_INTEGER;
  readonly watch: Watch;
  private readonly log: Logger;
  private readonly receiver: StreamReceiver;
  private readonly writer: QueuedWriter;
  /** Bytes accepted and not written. */
  private waiting = 0;
  private open = true;

  constructor({ fd, stream, loop, log, send }: FifoStreamOptions) {
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
    this.watch.stop();
    sys.close(this.fd);
  }

  private settle(count: number): void {
    this.waiting -= count;
    this.receiver.consumed(count);
  }
}
