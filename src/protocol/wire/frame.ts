/**
 * The frames of the links between daemon and guest agents, and between daemon and keeper. frame-decoder.ts reads them.
 *
 * Layout, big endian: `u32 length` of all that follows, `u8 type`, `u32 stream`, `u64 sequence`, payload. What the sequence
 * counts depends on the type (see {@link FrameType}). This file knows no transport and no engine: it runs in Node and in
 * QuickJS.
 */
import { type BlazarError, blazarError } from "../../contracts/errors.ts";

/** Frame types. The comment says what `stream` and `sequence` mean for each. */
export const FrameType = {
  /** JSON, the first frame either way after each attach. stream 0, sequence 0. */
  Hello: 1,
  /** JSON `{op, params}`. stream 0, sequence = request id, rising from 1. */
  Request: 2,
  /** JSON `{ok, result | error}`. stream 0, sequence = id of the request. */
  Response: 3,
  /** JSON `{event, params}`. stream 0, sequence = event number, rising from 1. */
  Event: 4,
  /** Bytes of a stream; sequence = offset of the first byte. */
  Data: 5,
  /** End of a stream; sequence = offset after the last byte. Like TCP's FIN, the end itself takes one offset. */
  Eof: 6,
  /** On stream 0: events up to sequence are handled. On others: all bytes below the offset `sequence` are consumed, and
   * the payload, a u32, says how many bytes beyond it may be sent (the credit). */
  Ack: 7,
  /** The next bytes of a request that is too long for one frame. stream 0, sequence = request id; the last bytes come as a
   * {@link FrameType.Request} with the same id, and nothing of another request in between. */
  RequestPart: 8,
  /** The sender gives a stream up, in both directions; bytes of it may be lost. sequence 0. */
  Reset: 9,
  /** Keeper only: a whole ttrpc request; stream = connection, sequence = number in that connection. */
  TaskRequest: 16,
  /** Keeper only: a whole ttrpc response; stream = connection, sequence = number of the request it answers. */
  TaskResponse: 17,
} as const;

export type FrameType = (typeof FrameType)[keyof typeof FrameType];

export interface Frame {
  readonly type: FrameType;
  readonly stream: number;
  /** A safe integer ≥ 0. */
  readonly sequence: number;
  /** A view into the decoder's buffer: copy it to keep it beyond the handler. */
  readonly payload: Uint8Array;
}

/** Bytes before the payload. */
export const FRAME_HEADER_BYTES = 17;
/** Bytes of the length, which counts what comes after it. */
export const LENGTH_BYTES = 4;
const TWO_32 = 0x1_0000_0000;

/**
 * Largest payload of a {@link FrameType.Data} frame, so that a stream that floods does not hold up the others. With its
 * header it is two times 32 KiB, the most that a guest's virtio-serial port takes in one write: a byte more would be a third.
 */
export const MAX_DATA_BYTES = 64 * 1024 - FRAME_HEADER_BYTES;
/** Largest frame on a guest link, in both directions. */
export const GUEST_MAX_FRAME_BYTES = 1024 * 1024;
/** Largest request to a guest, over all of its frames: twice the 2 MiB that execve(2) takes, for what JSON adds. */
export const GUEST_MAX_REQUEST_BYTES = 4 * 1024 * 1024;
/** Bytes of one {@link FrameType.RequestPart}. */
export const REQUEST_PART_BYTES = 256 * 1024;
/** Largest frame on the keeper link: a ttrpc message of 4 MiB and its headers. */
export const KEEPER_MAX_FRAME_BYTES = 4 * 1024 * 1024 + 1024;

const EMPTY = new Uint8Array(0);

/** Encodes one frame into a buffer of its own. `sequence` must be a safe integer ≥ 0. */
export function encodeFrame(
  type: FrameType,
  stream: number,
  sequence: number,
  payload: Uint8Array = EMPTY,
): Uint8Array {
  const bytes = new Uint8Array(FRAME_HEADER_BYTES + payload.length);
  bytes.set(payload, FRAME_HEADER_BYTES);
  writeHeader(bytes, type, stream, sequence);
  return bytes;
}

/** Writes the header of a frame whose payload is in its place already. */
export function writeHeader(frame: Uint8Array, type: FrameType, stream: number, sequence: number): void {
  const view = new DataView(frame.buffer, frame.byteOffset, FRAME_HEADER_BYTES);
  view.setUint32(0, frame.length - LENGTH_BYTES);
  view.setUint8(4, type);
  view.setUint32(5, stream);
  setSequence(view, sequence);
}

/** A copy of an encoded frame under another sequence number. */
export function withSequence(frame: Uint8Array, sequence: number): Uint8Array {
  const bytes = frame.slice();
  setSequence(new DataView(bytes.buffer), sequence);
  return bytes;
}

function setSequence(view: DataView, sequence: number): void {
  view.setUint32(9, Math.floor(sequence / TWO_32));
  view.setUint32(13, sequence % TWO_32);
}

/** Encodes an {@link FrameType.Ack} of a stream: consumed below `offset`, `window` bytes more may come. */
export function encodeAck(stream: number, offset: number, window: number): Uint8Array {
  const payload = new Uint8Array(4);
  new DataView(payload.buffer).setUint32(0, window);
  return encodeFrame(FrameType.Ack, stream, offset, payload);
}

/** Reads the credit of a stream's {@link FrameType.Ack}. Throws FrameMalformed. */
export function ackWindow(frame: Frame): number {
  if (frame.payload.length !== 4)
    throw malformed(`an ack of stream ${frame.stream} with ${frame.payload.length} bytes`);
  return new DataView(frame.payload.buffer, frame.payload.byteOffset, 4).getUint32(0);
}

/** One after the other, in a buffer of their own. */
export function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const joined = new Uint8Array(a.length + b.length);
  joined.set(a, 0);
  joined.set(b, a.length);
  return joined;
}

/** What breaks the layout. */
export function malformed(reason: string): BlazarError {
  return blazarError("FrameMalformed", "read a frame", reason);
}
