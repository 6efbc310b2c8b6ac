/**
 * One output stream: frames from the daemon into a FIFO that containerd reads.
 *
 * Acknowledged is what the FIFO has taken: a full one only holds back its own credit. The FIFO is open O_RDWR,
 * so that a containerd that comes and goes raises no EPIPE; it is closed as soon as the stream's end is in,
 * because containerd waits for that end of file (fifo(7)).
 */
import * as sys from "sys";
import type { EventLoop, Watch } from "../native/runtime/event-loop.ts";
import type { Logger } from "../native/runtime/log.ts";
import type { StreamHandler } from "../src/protocol/peer.ts";
import { StreamReceiver } from "../src/protocol/stream.ts";
import { ProgressWriter } from "./progress-writer.ts";

/** Credit of a stream: what the keeper may have to hold if nobody reads, so the bound of its memory. */
export const STDIO_WINDOW_BYTES = 64 * 1024;

export interface FifoStreamOptions {
  /** An open, non-blocking FIFO; it is closed here. */
  readonly fd: number;
  readonly stream: number;
  readonly loop: EventLoop;
  readonly log: Logger;
  readonly send: (frame: Uint8Array) => void;
}

export class FifoOutput {
  readonly handler: StreamHandler;
  readonly #receiver: StreamReceiver;
  readonly #watch: Watch;
  readonly #writer: ProgressWriter;
  #open = true;

  constructor({ fd, stream, loop, log, send }: FifoStreamOptions) {
    this.#watch = loop.watch(fd);
    const receiver = new StreamReceiver({
      stream,
      send,
      window: STDIO_WINDOW_BYTES,
      // The chunk is a view into the link's read buffer.
      onData: (bytes) => this.#writer.write(bytes.slice()),
      onEnd: () =>
        this.#writer.end(() => {
          this.close();
          receiver.consumedEnd();
        }),
    });
    this.#receiver = receiver;
    this.#writer = new ProgressWriter({
      watch: this.#watch,
      onProgress: (count) => receiver.consumed(count),
      onError: (error) => log.error("a FIFO takes no more output: the rest is dropped", { stream, error }),
    });
    this.handler = {
      data: (offset, bytes) => receiver.data(offset, bytes),
      end: (offset) => receiver.end(offset),
      attached: () => receiver.attached(),
    };
  }

  /** Nothing more will be written: containerd reads the end of file. */
  get ended(): boolean {
    return !this.#open;
  }

  /** Offset below which everything is in the FIFO. */
  get position(): number {
    return this.#receiver.position;
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#watch.stop();
    sys.close(this.#watch.fd);
  }
}
