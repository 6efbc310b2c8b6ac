/**
 * The framing of ttrpc: PROTOCOL.md of containerd/ttrpc, version 1.2.
 *
 * A header of ten bytes (u32be length, u32be stream, u8 type, u8 flags), then the message. Knows neither what messages
 * mean nor where they come from. A message over 4 MiB is skipped, so that its stream can be answered. An impossible
 * length is an error: the peer does not speak ttrpc, and its connection has to be closed.
 */
import { type BlazarError, blazarError } from "../../contracts/errors.ts";

export const HEADER_BYTES = 10;
/** The longest message that ttrpc allows. */
export const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
/** The first byte of a length is reserved and zero. */
const FIRST_IMPOSSIBLE_LENGTH = 16 * 1024 * 1024;

export const FRAME_REQUEST = 1;
export const FRAME_RESPONSE = 2;

/** On a request: the sender is still sending on this stream. */
export const FLAG_REMOTE_OPEN = 2;

export interface FrameHeader {
  /** Bytes after the header. */
  readonly length: number;
  /** Odd for streams opened by the client. */
  readonly streamId: number;
  readonly type: number;
  readonly flags: number;
}

export interface Frame extends FrameHeader {
  readonly payload: Uint8Array;
}

/** A message that was too long to be taken; its bytes have been skipped. */
export interface OversizedFrame extends FrameHeader {
  readonly payload: undefined;
}

/** One whole frame as bytes. @throws BlazarError `FrameTooLong` */
export function encodeFrame(streamId: number, type: number, flags: number, payload: Uint8Array): Uint8Array {
  if (payload.length > MAX_MESSAGE_BYTES) throw tooLong(payload.length, `stream ${streamId}`);
  const frame = new Uint8Array(HEADER_BYTES + payload.length);
  const view = new DataView(frame.buffer);
  view.setUint32(0, payload.length);
  view.setUint32(4, streamId);
  view.setUint8(8, type);
  view.setUint8(9, flags);
  frame.set(payload, HEADER_BYTES);
  return frame;
}

/** Reads a header. @throws BlazarError `FrameMalformed` if there are too few bytes or they make no sense */
export function decodeHeader(bytes: Uint8Array): FrameHeader {
  if (bytes.length < HEADER_BYTES) {
    throw malformed(`${bytes.length} bytes are less than a header's ${HEADER_BYTES}`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(0);
  if (length >= FIRST_IMPOSSIBLE_LENGTH) {
    throw malformed(`the header says ${length} bytes, which no ttrpc peer sends`);
  }
  return { length, streamId: view.getUint32(4), type: view.getUint8(8), flags: view.getUint8(9) };
}

/** Reads exactly one frame. @throws BlazarError `FrameMalformed`, `FrameTooLong` */
export function decodeFrame(bytes: Uint8Array): Frame {
  const header = decodeHeader(bytes);
  if (header.length > MAX_MESSAGE_BYTES) throw tooLong(header.length, `stream ${header.streamId}`);
  const present = bytes.length - HEADER_BYTES;
  if (present !== header.length) {
    throw malformed(`the header says ${header.length} bytes, ${present} came`);
  }
  return { ...header, payload: bytes.subarray(HEADER_BYTES) };
}

/** Cuts a stream of bytes into frames, whatever the size of its chunks. Holds at most one frame. */
export class FrameDecoder {
  private chunks: Uint8Array[] = [];
  private buffered = 0;
  private header: FrameHeader | undefined;
  private skip = 0;

  /** Takes the next bytes and returns the frames that they complete. @throws BlazarError `FrameMalformed` */
  push(chunk: Uint8Array): (Frame | OversizedFrame)[] {
    this.chunks.push(chunk);
    this.buffered += chunk.length;
    const frames: (Frame | OversizedFrame)[] = [];
    for (let frame = this.next(); frame !== undefined; frame = this.next()) frames.push(frame);
    return frames;
  }

  /** Says whether the stream may end here. @throws BlazarError `FrameMalformed` in the middle of a frame */
  end(): void {
    if (this.buffered === 0 && this.header === undefined && this.skip === 0) return;
    throw malformed("the connection ended in the middle of a frame");
  }

  private next(): Frame | OversizedFrame | undefined {
    this.dropSkipped();
    if (this.skip > 0) return undefined;
    if (this.header === undefined) {
      if (this.buffered < HEADER_BYTES) return undefined;
      this.header = decodeHeader(this.take(HEADER_BYTES));
    }
    const header = this.header;
    if (header.length > MAX_MESSAGE_BYTES) {
      this.header = undefined;
      this.skip = header.length;
      return { ...header, payload: undefined };
    }
    if (this.buffered < header.length) return undefined;
    this.header = undefined;
    return { ...header, payload: this.take(header.length) };
  }

  private dropSkipped(): void {
    if (this.skip === 0) return;
    const dropped = Math.min(this.skip, this.buffered);
    this.take(dropped);
    this.skip -= dropped;
  }

  /** Removes the first `count` buffered bytes, which must be there. */
  private take(count: number): Uint8Array {
    const first = this.chunks[0];
    if (first === undefined || count === 0) return new Uint8Array(0);
    const joined = first.length >= count ? first : Buffer.concat(this.chunks);
    const rest = joined.subarray(count);
    const kept = first.length >= count ? this.chunks.slice(1) : [];
    this.chunks = rest.length > 0 ? [rest, ...kept] : kept;
    this.buffered -= count;
    return joined.subarray(0, count);
  }
}

function malformed(reason: string): BlazarError {
  return blazarError("FrameMalformed", "read a ttrpc frame", reason);
}

function tooLong(length: number, subject: string): BlazarError {
  const reason = `it has ${length} bytes, ttrpc allows ${MAX_MESSAGE_BYTES}`;
  return blazarError("FrameTooLong", "frame a ttrpc message", reason, { subject });
}
