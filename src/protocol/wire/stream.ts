/**
 * The two ends of one byte stream over frames: retention and replay, credit and de-duplication.
 *
 * Offsets count from 0 over the whole life of the stream, across reconnects. Like TCP's FIN, the end takes one offset. A
 * sender keeps bytes that are not acknowledged. After an attach it sends nothing until the receiver's first ack says where
 * to go on. A relay between the two passes offsets through unchanged. The receiver grants credit, so a stream that floods
 * fills only its own window.
 */
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import {
  encodeAck,
  encodeFrame,
  FRAME_HEADER_BYTES,
  FrameType,
  MAX_DATA_BYTES,
  writeHeader,
} from "./frame.ts";

/** Bytes that a receiver lets a sender be ahead, unless it says otherwise. */
export const DEFAULT_WINDOW_BYTES = 2 * MAX_DATA_BYTES;

export interface StreamSenderOptions {
  readonly stream: number;
  /** Puts one encoded frame on the link; must not block. Called only while attached. */
  readonly send: (frame: Uint8Array) => void;
  /** Called when {@link StreamSender.room} has become positive again. */
  readonly onRoom?: () => void;
  /** Called once, when the receiver has consumed everything, the end included. */
  readonly onFinished?: () => void;
  /** Most bytes to retain, if the writer heeds `room`; looked at each time. Default {@link DEFAULT_WINDOW_BYTES}. */
  readonly capacity?: number;
}

/** A write of fewer bytes shares its buffer with those before and after it: an object for each byte would cost 300 times as much. */
const SMALL_BYTES = 512;
const SHARED_BYTES = 2048;

/** Bytes that are kept. They stand in a frame of their own, which is sent as it is if the credit allows all of it. */
interface Chunk {
  frame: Uint8Array;
  /** Bytes of it that are consumed. */
  done: number;
  /** More may be added to its buffer, so that only copies of it are sent. */
  readonly shared: boolean;
}

/** The sending end of a stream. */
export class StreamSender {
  private readonly chunks: Chunk[] = [];
  /** Offset of the first retained byte: everything below is consumed. */
  private base = 0;
  /** Offset after the last byte written. */
  private end = 0;
  /** Offset of the next byte to send; -1 until the receiver's first ack since the attach. */
  private next = -1;
  private limit = 0;
  private ended = false;
  private finished = false;

  constructor(private readonly options: StreamSenderOptions) {}

  /** Bytes that may be written now without passing the capacity. */
  get room(): number {
    return Math.max(0, (this.options.capacity ?? DEFAULT_WINDOW_BYTES) - this.kept);
  }

  /** Bytes that are retained. */
  get kept(): number {
    return this.end - this.base;
  }

  /** Takes a copy of `bytes`. */
  write(bytes: Uint8Array): void {
    if (bytes.length < SMALL_BYTES) return this.writeSmall(bytes);
    const frame = new Uint8Array(FRAME_HEADER_BYTES + bytes.length);
    frame.set(bytes, FRAME_HEADER_BYTES);
    this.writeFrame(frame);
  }

  /** Takes the frame over, without a copy: {@link FRAME_HEADER_BYTES} that are free, then the bytes. */
  writeFrame(frame: Uint8Array): void {
    if (this.ended || frame.length <= FRAME_HEADER_BYTES) return;
    this.chunks.push({ frame, done: 0, shared: false });
    this.end += frame.length - FRAME_HEADER_BYTES;
    this.flush();
  }

  private writeSmall(bytes: Uint8Array): void {
    if (this.ended || bytes.length === 0) return;
    const last = this.chunks.at(-1);
    const length = last?.frame.length ?? 0;
    if (last?.shared === true && length + bytes.length <= SHARED_BYTES) {
      last.frame = new Uint8Array(last.frame.buffer, 0, length + bytes.length);
      last.frame.set(bytes, length);
    } else {
      const frame = new Uint8Array(new ArrayBuffer(SHARED_BYTES), 0, FRAME_HEADER_BYTES + bytes.length);
      frame.set(bytes, FRAME_HEADER_BYTES);
      this.chunks.push({ frame, done: 0, shared: true });
    }
    this.end += bytes.length;
    this.flush();
  }

  /** No more bytes will come. */
  finish(): void {
    if (this.ended) return;
    this.ended = true;
    this.flush();
  }

  /** The link is gone: sends nothing until the first ack after the next attach. */
  detached(): void {
    this.next = -1;
  }

  /** Handles an ack. Throws FrameUnexpected if it acknowledges what was never sent. */
  acknowledged(offset: number, window: number): void {
    const last = this.end + (this.ended ? 1 : 0);
    if (offset > last) throw unexpected(this.options.stream, `an ack of offset ${offset}, ${last} were sent`);
    const wasFull = this.room === 0;
    this.release(Math.min(offset, this.end));
    if (this.next < 0) this.next = Math.max(offset, this.base);
    this.limit = Math.max(this.limit, offset + window);
    if (this.ended && offset > this.end && !this.finished) {
      this.finished = true;
      this.options.onFinished?.();
      return;
    }
    this.flush();
    if (wasFull && this.room > 0) this.options.onRoom?.();
  }

  private release(offset: number): void {
    while (this.base < offset) {
      const first = this.chunks[0];
      if (first === undefined) break;
      const left = lengthOf(first);
      const done = Math.min(left, offset - this.base);
      if (done === left) this.chunks.shift();
      else first.done += done;
      this.base += done;
    }
  }

  private flush(): void {
    if (this.next < 0) return;
    let at = this.base;
    for (const chunk of this.chunks) {
      this.sendWithin(chunk, at);
      at += lengthOf(chunk);
    }
    if (this.ended && this.next === this.end) {
      this.options.send(encodeFrame(FrameType.Eof, this.options.stream, this.end));
      this.next = this.end + 1;
    }
  }

  /** Sends the part of a chunk that is not sent yet and within the credit. The chunk starts at offset `start`. */
  private sendWithin({ frame, done, shared }: Chunk, start: number): void {
    const { send, stream } = this.options;
    const first = start - done;
    const stop = Math.min(first + frame.length - FRAME_HEADER_BYTES, this.limit);
    while (this.next >= start && this.next < stop) {
      const size = Math.min(stop - this.next, MAX_DATA_BYTES);
      const at = FRAME_HEADER_BYTES + this.next - first;
      if (size === frame.length - FRAME_HEADER_BYTES && !shared) {
        // the same header each time, as an earlier sending may still wait on the link
        writeHeader(frame, FrameType.Data, stream, first);
        send(frame);
      } else send(encodeFrame(FrameType.Data, stream, this.next, frame.subarray(at, at + size)));
      this.next += size;
    }
  }
}

/** Bytes of a chunk that are not consumed. */
function lengthOf({ frame, done }: Chunk): number {
  return frame.length - FRAME_HEADER_BYTES - done;
}

export interface StreamReceiverOptions {
  readonly stream: number;
  /** Puts one encoded frame on the link; must not block. */
  readonly send: (frame: Uint8Array) => void;
  /** New bytes, in order, each once. Copy the view to keep it. Report them by {@link StreamReceiver.consumed}. */
  readonly onData: (bytes: Uint8Array) => void;
  /** The end, once, after the last byte. Report it by {@link StreamReceiver.consumedEnd}. */
  readonly onEnd: () => void;
  /**
   * How many bytes the sender may be ahead. A function is asked at each ack: a receiver whose memory is short says less, but
   * what was granted stays granted. Default {@link DEFAULT_WINDOW_BYTES}.
   */
  readonly window?: number | (() => number);
  /** Acknowledges whenever all that has come is consumed: for a sender that may keep less than the window. */
  readonly prompt?: boolean;
  /**
   * Where to start: the offset that an earlier life of this end had reached. Default 0. `unknown`: where the sender goes on, which
   * keeps what that life has not acknowledged.
   */
  readonly offset?: number | "unknown";
}

/** The receiving end of a stream. */
export class StreamReceiver {
  private received: number;
  private done: number;
  private acked = 0;
  /** Offset below which the sender may send. */
  private limit: number;
  private ended = false;
  /** Nobody has said yet where the stream is. */
  private unknown: boolean;

  constructor(private readonly options: StreamReceiverOptions) {
    const { offset = 0 } = options;
    this.unknown = offset === "unknown";
    this.received = offset === "unknown" ? 0 : offset;
    this.done = this.received;
    this.limit = this.done + this.window;
  }

  private get window(): number {
    const { options } = this;
    if (typeof options.window === "function") return options.window();
    return options.window ?? DEFAULT_WINDOW_BYTES;
  }

  /** Offset below which everything is consumed: where a later life of this end goes on. */
  get position(): number {
    return this.done;
  }

  /** The link is up (again): tells the sender where to go on and how much it may send. */
  attached(): void {
    this.acknowledge();
  }

  /** Handles a Data frame. Throws FrameUnexpected at a gap, past the credit or after the end. */
  data(offset: number, bytes: Uint8Array): void {
    this.takeUp(offset);
    if (offset > this.received)
      throw unexpected(this.options.stream, `offset ${offset}, expected ${this.received}`);
    if (offset + bytes.length > this.limit) {
      throw unexpected(this.options.stream, `${bytes.length} bytes at ${offset} pass the credit`);
    }
    const fresh = bytes.subarray(Math.min(bytes.length, this.received - offset));
    if (fresh.length === 0) return;
    if (this.ended) throw unexpected(this.options.stream, "bytes after the end");
    this.received += fresh.length;
    this.options.onData(fresh);
  }

  /** Handles an Eof frame. Throws FrameUnexpected unless it stands right after the last byte. */
  end(offset: number): void {
    if (this.ended) return;
    this.takeUp(offset);
    if (offset !== this.received)
      throw unexpected(this.options.stream, `end at ${offset}, expected ${this.received}`);
    this.ended = true;
    this.options.onEnd();
  }

  /** `count` more bytes have reached their destination. */
  consumed(count: number): void {
    this.done += count;
    const isIdle = this.options.prompt === true && this.done === this.received;
    if (isIdle || this.done - this.acked >= (this.limit - this.acked) / 2) this.acknowledge();
  }

  /** The end has reached its destination, too. */
  consumedEnd(): void {
    this.done = this.received + 1;
    this.acknowledge();
  }

  private takeUp(offset: number): void {
    if (!this.unknown) return;
    this.unknown = false;
    this.received = offset;
    this.done = offset;
    this.acked = offset;
    this.limit += offset;
  }

  private acknowledge(): void {
    const { send, stream } = this.options;
    this.acked = this.done;
    this.limit = Math.max(this.limit, this.done + this.window);
    send(encodeAck(stream, this.done, this.limit - this.done));
  }
}

function unexpected(stream: number, reason: string): BlazarError {
  return blazarError("FrameUnexpected", "read a stream", reason, { subject: `stream ${stream}` });
}
