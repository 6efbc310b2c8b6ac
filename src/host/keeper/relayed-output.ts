/**
 * One output stream on its way from a guest to the keeper: unacknowledged output is kept.
 *
 * The guest numbers the output, and the keeper acknowledges what has reached the FIFO. The daemon between them only holds
 * what is on its way: after a lost link to the keeper it needs nothing from the guest. A guest may send its bytes one by one.
 * They go on together, and are kept together, so that neither end pays for a frame for each.
 */
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import type { OutputStream, StdioHandlers } from "../../contracts/keeper.ts";
import { GatheredBytes } from "../../lib/gathered-bytes.ts";
import { encodeFrame, FRAME_HEADER_BYTES, FrameType, MAX_DATA_BYTES } from "../../protocol/wire/frame.ts";
import type { Peer } from "../../protocol/wire/peer.ts";
import { spareFrames } from "./spare-frames.ts";

/** More frames than these that wait for an ack are joined. */
const MOST_KEPT = 64;

/** Of the type in a frame: after its length. */
const TYPE_AT = 4;

interface Kept {
  /** Offset after the frame; of an Eof frame one more. */
  readonly end: number;
  readonly frame: Uint8Array;
}

/** Frames of one output stream towards the keeper. */
export class RelayedOutput {
  /** Sent or waiting, not yet acknowledged. */
  private kept: Kept[] = [];
  private readonly gathered = new GatheredBytes(MAX_DATA_BYTES, (bytes) => this.passOn(bytes));
  private received = 0;
  /** Offset after the last byte that is in a frame. */
  private passed = 0;
  private ended = false;
  private closed = false;
  private lastAck: { offset: number; window: number } | undefined;
  /** The keeper has said where to go on since the link came up. */
  private live = false;

  constructor(
    private readonly name: OutputStream,
    private readonly stream: number,
    private readonly peer: Peer,
    private readonly handlers: () => StdioHandlers | undefined,
  ) {
    peer.openStream(stream, {
      acknowledged: (offset, window) => this.acknowledged(offset, window),
      detached: () => {
        this.live = false;
      },
    });
  }

  data(offset: number, bytes: Uint8Array): void {
    if (this.closed) return;
    const limit = this.lastAck === undefined ? 0 : this.lastAck.offset + this.lastAck.window;
    if (offset > this.received) throw this.unexpected(`offset ${offset}, expected ${this.received}`);
    if (offset + bytes.length > limit)
      throw this.unexpected(`${bytes.length} bytes at ${offset} pass the credit`);
    const fresh = bytes.subarray(Math.min(bytes.length, this.received - offset));
    if (fresh.length === 0) return;
    if (this.ended) throw this.unexpected("bytes after the end");
    this.received += fresh.length;
    this.gathered.add(fresh);
  }

  end(offset: number): void {
    if (this.ended || this.closed) return;
    if (offset !== this.received) throw this.unexpected(`end at ${offset}, expected ${this.received}`);
    this.ended = true;
    this.gathered.flush();
    this.keep(encodeFrame(FrameType.Eof, this.stream, offset), offset + 1);
  }

  /** New handlers have come: tell them where the stream stands. */
  report(): void {
    if (this.lastAck === undefined) return;
    this.handlers()?.acknowledged(this.name, this.lastAck.offset, this.lastAck.window);
  }

  /** What still comes goes nowhere. */
  close(): void {
    this.closed = true;
    this.peer.closeStream(this.stream);
    this.kept = [];
    this.gathered.clear();
  }

  private passOn(bytes: Uint8Array): void {
    const start = this.passed;
    this.passed += bytes.length;
    this.keep(spareFrames.encode(this.stream, start, bytes), this.passed);
  }

  private keep(frame: Uint8Array, end: number): void {
    this.kept.push({ end, frame });
    if (this.live) this.peer.send(frame);
    if (this.kept.length > MOST_KEPT) this.kept = joined(this.stream, this.kept);
  }

  private acknowledged(offset: number, window: number): void {
    this.lastAck = { offset, window };
    for (let first = this.kept[0]; first !== undefined && first.end <= offset; first = this.kept[0]) {
      this.kept.shift();
      spareFrames.giveBack(first.frame);
    }
    // An offset beyond what this daemon has seen: an earlier one brought the stream there.
    if (!this.ended && offset > this.received) {
      this.received = offset;
      this.passed = offset;
    }
    if (!this.live) {
      this.live = true;
      for (const { frame } of this.kept) this.peer.send(frame);
    }
    this.report();
  }

  private unexpected(reason: string): BlazarError {
    return blazarError("FrameUnexpected", "relay output", reason, { subject: this.name });
  }
}

/** The same bytes in as few frames as can be. Those before may still be on the link, so nobody uses their buffers again. */
function joined(stream: number, kept: readonly Kept[]): Kept[] {
  const frames = kept.filter(({ frame }) => frame[TYPE_AT] === FrameType.Data);
  const ends = kept.slice(frames.length);
  const payloads = frames.map(({ frame }) => frame.subarray(FRAME_HEADER_BYTES));
  const bytes = Buffer.concat(payloads);
  const start = (frames.at(-1)?.end ?? 0) - bytes.length;
  const all: Kept[] = [];
  for (let at = 0; at < bytes.length; at += MAX_DATA_BYTES) {
    const part = bytes.subarray(at, at + MAX_DATA_BYTES);
    const end = start + at + part.length;
    all.push({ end, frame: encodeFrame(FrameType.Data, stream, start + at, part) });
  }
  return [...all, ...ends];
}
