/**
 * One TCP connection to a server in the guest, joined with a stream of the link: tcp(7), src/protocol/wire/stream.ts.
 *
 * The end of either direction is passed on by itself (half-close); a reset of either side resets the other. The stream's
 * credit bounds what waits here. It does not outlive the link: whoever dialled has gone with it. Owns the descriptor.
 */
import * as sys from "sys";
import type { EventLoop, Watch } from "../../../native/runtime/event-loop.ts";
import { encodeFrame, FrameType, MAX_DATA_BYTES } from "../../../src/protocol/wire/frame.ts";
import type { Peer } from "../../../src/protocol/wire/peer.ts";
import { StreamReceiver, StreamSender } from "../../../src/protocol/wire/stream.ts";

/** All connections share it: what is read is copied within one handler. */
const buffer = new Uint8Array(MAX_DATA_BYTES);

export class DialledConnection {
  private readonly loop: EventLoop;
  private readonly peer: Peer;
  private readonly stream: number;
  /** From the server. */
  private readonly sender: StreamSender;
  /** To the server. */
  private readonly receiver: StreamReceiver;
  private queue: Uint8Array[] = [];
  /** -1 until it is connected, and when it is closed. */
  private fd = -1;
  private watch: Watch | undefined;
  private over = false;
  /** No more bytes come for the server. */
  private inputEnded = false;
  /** The server has been told so. */
  private inputDone = false;
  /** The server takes no more bytes. */
  private deaf = false;
  private outputEnded = false;
  /** The other side has all of it, the end included. */
  private outputDone = false;

  /** Opens the stream; bytes that come before {@link start} wait. */
  constructor(loop: EventLoop, peer: Peer, stream: number, window: number) {
    this.loop = loop;
    this.peer = peer;
    this.stream = stream;
    const send = (frame: Uint8Array): void => peer.send(frame);
    this.sender = new StreamSender({
      ...{ stream, send, capacity: window },
      onRoom: () => this.listen(true),
      onFinished: () => this.outputFinished(),
    });
    this.receiver = new StreamReceiver({
      ...{ stream, send, window },
      onData: (bytes) => this.write(bytes),
      onEnd: () => this.endOfInput(),
    });
    peer.openStream(stream, {
      data: (offset, bytes) => this.receiver.data(offset, bytes),
      end: (offset) => this.receiver.end(offset),
      acknowledged: (offset, credit) => this.sender.acknowledged(offset, credit),
      attached: () => this.receiver.attached(),
      detached: () => this.abort(),
      reset: () => this.abort(),
    });
  }

  /** Takes a connected, non-blocking socket. */
  start(fd: number): void {
    this.fd = fd;
    if (this.over) return this.abort();
    this.watch = this.loop.watch(fd);
    this.listen(true);
    this.flush();
  }

  /** Closes everything, the stream included. */
  close(): void {
    this.over = true;
    this.queue = [];
    this.watch?.stop();
    if (this.fd >= 0) sys.close(this.fd);
    this.fd = -1;
    this.peer.closeStream(this.stream);
  }

  /** The other side is gone: the server sees a reset. */
  private abort(): void {
    if (this.fd >= 0) sys.tcpReset(this.fd);
    this.close();
  }

  /** The server is gone: the other side sees a reset. */
  private fail(): void {
    this.peer.send(encodeFrame(FrameType.Reset, this.stream, 0));
    this.close();
  }

  private listen(on: boolean): void {
    if (this.outputEnded) return;
    this.watch?.setReadable(on ? () => this.read() : null);
  }

  private read(): void {
    const most = Math.min(this.sender.room, MAX_DATA_BYTES);
    if (most === 0) return this.listen(false);
    const count = sys.read(this.fd, buffer.buffer, 0, most);
    if (count > 0) return this.sender.write(buffer.subarray(0, count));
    if (count === -sys.EAGAIN) return;
    if (count < 0) return this.fail();
    this.listen(false);
    this.outputEnded = true;
    this.sender.finish();
  }

  private write(bytes: Uint8Array): void {
    if (this.deaf) return this.receiver.consumed(bytes.length);
    this.queue.push(bytes.slice());
    if (this.queue.length === 1) this.flush();
  }

  private flush(): void {
    if (this.fd < 0) return;
    for (let chunk = this.queue[0]; chunk !== undefined; chunk = this.queue[0]) {
      const count = sys.write(this.fd, chunk.buffer as ArrayBuffer, chunk.byteOffset, chunk.length);
      if (count === -sys.EAGAIN) {
        this.watch?.setWritable(() => this.flush());
        return;
      }
      if (count < 0) return this.dropInput();
      if (count === chunk.length) this.queue.shift();
      else this.queue[0] = chunk.subarray(count);
      this.receiver.consumed(count);
    }
    this.watch?.setWritable(null);
    if (this.inputEnded) this.finishInput();
  }

  private endOfInput(): void {
    this.inputEnded = true;
    if (this.queue.length === 0) this.flush();
  }

  private finishInput(): void {
    if (!this.deaf) sys.shutdown(this.fd, sys.SHUT_WR);
    this.inputDone = true;
    this.receiver.consumedEnd();
    this.closeIfDone();
  }

  /** What the server has sent before it went still has to arrive, so reading goes on. */
  private dropInput(): void {
    this.deaf = true;
    this.watch?.setWritable(null);
    const dropped = this.queue.reduce((sum, chunk) => sum + chunk.length, 0);
    this.queue = [];
    this.receiver.consumed(dropped);
    if (this.inputEnded) this.finishInput();
  }

  private outputFinished(): void {
    this.outputDone = true;
    // whoever still writes shall see that nobody reads
    if (this.deaf && !this.inputDone) return this.fail();
    this.closeIfDone();
  }

  private closeIfDone(): void {
    if (this.inputDone && this.outputDone) this.close();
  }
}
