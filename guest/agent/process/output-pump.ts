/**
 * Moves bytes from a process's stdout, stderr or terminal to a stream of the link.
 *
 * Reads only while the stream has room: a process whose output nobody reads blocks on its pipe and slows nobody else.
 * After the process has ended, the rest of the pipe is read whatever the room, because the report of the end must not
 * wait for a reader. Owns the descriptor.
 */
import * as sys from "sys";
import type { EventLoop, Watch } from "../../../native/runtime/event-loop.ts";
import { deferred } from "../../../native/runtime/promises.ts";
import { FRAME_HEADER_BYTES, MAX_DATA_BYTES } from "../../../src/protocol/wire/frame.ts";
import type { Peer } from "../../../src/protocol/wire/peer.ts";
import { StreamSender } from "../../../src/protocol/wire/stream.ts";

/** One frame's worth. */
const READ_BYTES = MAX_DATA_BYTES;
/** Of a pipe that is full: together they are a stream's whole credit, and the writer is woken once for all of them. */
const READS_PER_PASS = 2;
/** Size of a pipe whose writer fills it: each change between writer and agent costs an emulated processor its TLB. */
const LARGE_PIPE_BYTES = 256 * 1024;
/** The most that an ended process can leave in its pipe: the largest size that F_SETPIPE_SZ grants. */
const MAX_LEFTOVER_BYTES = 1024 * 1024;
/** All pumps share it: a read is handled within one handler. It leaves room for a frame's header. */
let buffer = new Uint8Array(FRAME_HEADER_BYTES + READ_BYTES);

export class OutputPump {
  private readonly loop: EventLoop;
  private readonly peer: Peer;
  private readonly fd: number;
  private readonly stream: number;
  private readonly watch: Watch;
  /** Undefined where nobody wants the output, which is then read and dropped. */
  private readonly sender: StreamSender | undefined;
  private readonly ended = deferred<void>();
  private open = true;
  private heedRoom = true;
  private enlarged = false;

  /** `fd` must be non-blocking. Stream 0 drops what is read. */
  constructor(loop: EventLoop, peer: Peer, fd: number, stream: number) {
    this.loop = loop;
    this.peer = peer;
    this.fd = fd;
    this.stream = stream;
    this.sender = stream === 0 ? undefined : this.openSender();
    this.watch = loop.watch(fd);
    this.listen(true);
  }

  /** Reads what is in the pipe now and ends the stream, although other processes may still hold the pipe open. */
  finishNow(): void {
    if (!this.open) return;
    this.heedRoom = false;
    let left = Math.min(MAX_LEFTOVER_BYTES, Math.max(0, sys.pendingBytes(this.fd)));
    while (this.open && left > 0) {
      const count = this.read(Math.min(left, READ_BYTES));
      if (count <= 0) break;
      left -= count;
    }
    this.end();
  }

  /**
   * Reads what is in the pipe now, then goes on as before until the last writer has closed the pipe. After `milliseconds`
   * it does as {@link finishNow}.
   */
  drain(milliseconds: number): void {
    this.readLeftover();
    if (!this.open) return;
    this.heedRoom = true;
    this.listen(true);
    const timer = this.loop.setTimer(milliseconds, () => this.finishNow());
    void this.ended.promise.then(() => timer.cancel());
  }

  /** Reads until the last writer has closed the pipe. After `milliseconds` it does as {@link finishNow}. */
  async finishWithin(milliseconds: number): Promise<void> {
    this.readLeftover();
    if (!this.open) return;
    this.listen(true);
    const timer = this.loop.setTimer(milliseconds, () => this.finishNow());
    await this.ended.promise;
    timer.cancel();
  }

  /** Forgets the stream, sent or not. */
  close(): void {
    this.end();
    this.peer.closeStream(this.stream);
  }

  /** Reads all that an ended process can have left, whatever the room. */
  private readLeftover(): void {
    this.heedRoom = false;
    let taken = 0;
    while (this.open && taken < MAX_LEFTOVER_BYTES) {
      const count = this.read(READ_BYTES);
      if (count <= 0) break;
      taken += count;
    }
  }

  private openSender(): StreamSender {
    const stream = this.stream;
    const sender = new StreamSender({
      stream,
      send: (frame) => this.peer.send(frame),
      onRoom: () => this.listen(true),
      onFinished: () => this.peer.closeStream(stream),
    });
    this.peer.openStream(stream, {
      acknowledged: (offset, window) => sender.acknowledged(offset, window),
      detached: () => sender.detached(),
    });
    return sender;
  }

  private listen(on: boolean): void {
    if (!this.open) return;
    this.watch.setReadable(on ? () => this.readable() : null);
  }

  private readable(): void {
    for (let turn = 0; this.open && turn < READS_PER_PASS; turn++) {
      const room = this.heedRoom ? (this.sender?.room ?? READ_BYTES) : READ_BYTES;
      const most = Math.min(room, READ_BYTES);
      if (most === 0) return this.listen(false);
      if (this.read(most) < READ_BYTES) return;
    }
  }

  /** One read; ends the stream where the pipe has ended. */
  private read(most: number): number {
    const count = sys.read(this.fd, buffer.buffer, FRAME_HEADER_BYTES, most);
    if (count > 0) this.hand(count);
    // a terminal whose last slave is closed says EIO
    else if (count !== -sys.EAGAIN) this.end();
    if (count === READ_BYTES) this.enlarge();
    return count;
  }

  /** A full buffer is handed over. Little of one is copied: it would keep the memory of all of it. */
  private hand(count: number): void {
    if (count < READ_BYTES)
      return this.sender?.write(buffer.subarray(FRAME_HEADER_BYTES, FRAME_HEADER_BYTES + count));
    const frame = buffer;
    if (this.sender === undefined) return;
    buffer = new Uint8Array(FRAME_HEADER_BYTES + READ_BYTES);
    this.sender.writeFrame(frame);
  }

  /** Only now that the writer is fast: most write a few lines, and a start should not pay for it. A terminal refuses. */
  private enlarge(): void {
    if (this.enlarged) return;
    this.enlarged = true;
    sys.fcntl(this.fd, sys.F_SETPIPE_SZ, LARGE_PIPE_BYTES);
  }

  private end(): void {
    if (!this.open) return;
    this.open = false;
    this.watch.stop();
    sys.close(this.fd);
    this.sender?.finish();
    this.ended.resolve();
  }
}
