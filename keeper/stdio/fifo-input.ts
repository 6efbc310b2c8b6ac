/**
 * The input stream: what containerd writes to the stdin FIFO, as frames to the daemon.
 *
 * The FIFO is read only as far as the sender can keep bytes: a process that does not read its input stops containerd's
 * writer. What all inputs keep together is bounded (stdio-credit.ts): one that needs much gets it while there is some. Because the FIFO is open O_RDWR, there is never an end of file. The daemon asks for the end (CloseIO), which then
 * comes after what is in the FIFO.
 */
import * as sys from "sys";
import type { Watch } from "../../native/runtime/event-loop.ts";
import type { Logger } from "../../native/runtime/log.ts";
import { MAX_DATA_BYTES } from "../../src/protocol/wire/frame.ts";
import type { StreamHandler } from "../../src/protocol/wire/peer.ts";
import { StreamSender, type StreamSenderOptions } from "../../src/protocol/wire/stream.ts";
import type { FifoStreamOptions } from "./fifo-output.ts";
import type { StreamCredit } from "./stdio-credit.ts";

/** One read of a pass: a frame's worth. Shared: what is read is copied by the sender at once. */
const buffer = new Uint8Array(MAX_DATA_BYTES);

export class FifoInput implements StreamHandler, StreamSenderOptions {
  readonly stream: number;
  readonly send: (frame: Uint8Array) => void;
  private readonly sender: StreamSender;
  private readonly watch: Watch;
  private readonly log: Logger;
  private open = true;
  private ending = false;
  private readonly credit: StreamCredit;

  constructor({ fd, stream, loop, log, send }: FifoStreamOptions, credit: StreamCredit) {
    this.credit = credit;
    this.stream = stream;
    this.send = send;
    this.log = log;
    this.sender = new StreamSender(this);
    this.watch = loop.watch(fd, { readable: () => this.read() });
  }

  /** For the sender. */
  get capacity(): number {
    return this.credit.present;
  }

  acknowledged(offset: number, window: number): void {
    this.sender.acknowledged(offset, window);
    if (this.sender.kept === 0) this.credit.release();
  }

  detached(): void {
    this.sender.detached();
  }

  /** For the sender. */
  onRoom(): void {
    if (this.open) this.watch.setReadable(() => this.read());
  }

  /** What is in the FIFO now is the last of it. */
  finish(): void {
    this.ending = true;
    this.finishIfDrained();
  }

  close(): void {
    this.credit.release();
    this.closeFifo();
  }

  /** What is kept of it is still to be consumed. */
  private closeFifo(): void {
    if (!this.open) return;
    this.open = false;
    this.watch.stop();
    sys.close(this.watch.fd);
  }

  private read(): void {
    const { fd } = this.watch;
    const wanted = Math.min(sys.pendingBytes(fd), buffer.length);
    while (this.sender.room < wanted && this.credit.grow());
    const room = Math.min(this.sender.room, buffer.length);
    if (room === 0) {
      this.watch.setReadable(null);
      return;
    }
    const count = sys.read(fd, buffer.buffer, 0, room);
    if (count === -sys.EAGAIN) return this.finishIfDrained();
    if (count < 0) {
      this.log.error("a stdin FIFO cannot be read: it ends here", { stream: this.stream, errno: -count });
      return this.sendEnd();
    }
    this.sender.write(buffer.subarray(0, count));
    this.finishIfDrained();
  }

  private finishIfDrained(): void {
    if (this.open && this.ending && sys.pendingBytes(this.watch.fd) <= 0) this.sendEnd();
  }

  private sendEnd(): void {
    this.closeFifo();
    this.sender.finish();
  }
}
