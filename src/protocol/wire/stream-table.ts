/**
 * The streams of one end of a link, by id: who owns each, and what may come before its owner is there.
 *
 * One end allots the streams. It says how much may come as soon as it opens a stream; the other end opens the same stream
 * a little later, so that first ack is kept for it. So are acks for an end that has not taken up yet what an earlier life of
 * it has opened. Nothing here counts bytes: offsets are the owners' (stream.ts).
 */
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import { ackWindow, type Frame } from "./frame.ts";

/** Streams not opened yet whose first ack is kept. */
const MAX_EARLY_ACKS = 1024;

/** What the owner of a stream is told. Offsets are those of stream.ts. */
export interface StreamHandler {
  data?(offset: number, bytes: Uint8Array): void;
  end?(offset: number): void;
  acknowledged?(offset: number, window: number): void;
  /** The other end has given the stream up. */
  reset?(): void;
  /** The link is up: receivers send their first ack. */
  attached?(): void;
  detached?(): void;
}

export class StreamTable {
  private readonly handlers = new Map<number, StreamHandler>();
  private readonly earlyAcks = new Map<number, { offset: number; window: number }>();
  /** Highest id that was in use. */
  highest = 0;
  /** Ids up to it belong to earlier lives of this end, which a later one may take up. */
  private reserved = 0;

  /** `allots`: this end allots the streams, and the other one may only use those that are open here. */
  constructor(private readonly allots: boolean) {}

  /** An id that was never used. */
  allot(): number {
    return ++this.highest;
  }

  /** The other end has streams of earlier lives of this end, up to this id. */
  reserve(id: number): void {
    this.reserved = Math.max(this.reserved, id);
    this.highest = Math.max(this.highest, id);
  }

  /** Registers a stream's owner, who hears of an early ack at once. */
  open(id: number, handler: StreamHandler, attached: boolean): void {
    this.handlers.set(id, handler);
    this.highest = Math.max(this.highest, id);
    if (attached) handler.attached?.();
    const early = this.earlyAcks.get(id);
    if (early === undefined) return;
    this.earlyAcks.delete(id);
    handler.acknowledged?.(early.offset, early.window);
  }

  close(id: number): void {
    this.handlers.delete(id);
    this.earlyAcks.delete(id);
  }

  attached(): void {
    for (const handler of [...this.handlers.values()]) handler.attached?.();
  }

  detached(): void {
    this.earlyAcks.clear();
    for (const handler of [...this.handlers.values()]) handler.detached?.();
  }

  /** The owner of a frame's stream; undefined once it is closed. Throws FrameUnexpected if it was never opened. */
  owner(frame: Frame): StreamHandler | undefined {
    const handler = this.handlers.get(frame.stream);
    if (handler === undefined && this.allots && frame.stream > this.highest) {
      throw unexpected(`stream ${frame.stream} was never opened`);
    }
    return handler;
  }

  acknowledged(frame: Frame): void {
    const window = ackWindow(frame);
    const handler = this.owner(frame);
    if (handler !== undefined) return handler.acknowledged?.(frame.sequence, window);
    if (this.allots && frame.stream > this.reserved) return;
    this.earlyAcks.delete(frame.stream);
    this.earlyAcks.set(frame.stream, { offset: frame.sequence, window });
    const oldest = this.earlyAcks.keys().next().value;
    if (this.earlyAcks.size > MAX_EARLY_ACKS && oldest !== undefined) this.earlyAcks.delete(oldest);
  }
}

function unexpected(reason: string): BlazarError {
  return blazarError("FrameUnexpected", "handle a frame", reason);
}
