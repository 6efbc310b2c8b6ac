/**
 * The frames of the links between daemon and guest agents, and between daemon and keeper; and their decoder.
 *
 * Layout, big endian: `u32 length` of all that follows, `u8 type`, `u32 stream`, `u64 sequence`, payload. What the sequence
 * counts depends on the type (see {@link FrameType}). This file knows no transport and no engine: it runs in Node and in
 * QuickJS. A decoder never buffers more than one frame, whose size is limited.
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
const LENGTH_BYTES = 4;
const COUNTED_HEADER_BYTES = FRAME_HEADER_BYTES - LENGTH_BYTES;
const KNOWN_TYPES: ReadonlySet<number> = new Set<number>(Object.values(FrameType));
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
/** Bytes of one {@link FrameType.RequestPart}. A decoder holds an unfinished frame and copies it at each read. */
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

/**
 * Cuts a byte stream into frames. Feed it whatever arrives; it calls `onFrame` for each whole frame.
 * After it has thrown (FrameTooLong, FrameMalformed) the link is beyond repair: close it.
 */
export class FrameDecoder {
  private pending: Uint8Array = EMPTY;

  constructor(private readonly maxFrameBytes: number) {}

  /** Bytes that may stand between two frames, and mean nothing there. They begin as a frame does that never comes whole. */
  skipped: Uint8Array | undefined;

  /** Bytes of an unfinished frame held back. */
  get buffered(): number {
    return this.pending.length;
  }

  push(chunk: Uint8Array, onFrame: (frame: Frame) => void): void {
    const bytes = this.pending.length === 0 ? chunk : concat(this.pending, chunk);
    this.pending = EMPTY;
    let offset = 0;
    while (bytes.length - offset >= LENGTH_BYTES) {
      const skip = this.skip(bytes.subarray(offset));
      if (skip === undefined) break;
      if (skip > 0) {
        offset += skip;
        continue;
      }
      const view = new DataView(bytes.buffer, bytes.byteOffset + offset, bytes.length - offset);
      const length = view.getUint32(0);
      this.checkLength(length);
      if (view.byteLength < LENGTH_BYTES + length) break;
      onFrame(this.parse(view, bytes.subarray(offset + FRAME_HEADER_BYTES, offset + LENGTH_BYTES + length)));
      offset += LENGTH_BYTES + length;
    }
    if (offset < bytes.length) this.pending = new Uint8Array(bytes.subarray(offset));
  }

  /** Forgets an unfinished frame, as after a hang-up of the peer. */
  reset(): void {
    this.pending = EMPTY;
  }

  /** How many of the bytes, which are at least a length, are to be left out; undefined: more of them tell. */
  private skip(bytes: Uint8Array): number | undefined {
    const { skipped } = this;
    if (skipped === undefined) return 0;
    const count = Math.min(skipped.length, bytes.length);
    for (let index = 0; index < count; index++) if (bytes[index] !== skipped[index]) return 0;
    return count === skipped.length ? count : undefined;
  }

  private checkLength(length: number): void {
    if (length < COUNTED_HEADER_BYTES) throw malformed(`a length of ${length} is shorter than a header`);
    if (length + LENGTH_BYTES > this.maxFrameBytes) {
      throw blazarError(
        "FrameTooLong",
        "read a frame",
        `it announces ${length + LENGTH_BYTES} bytes, ${this.maxFrameBytes} are allowed`,
      );
    }
  }

  private parse(view: DataView, payload: Uint8Array): Frame {
    const type = view.getUint8(4);
    if (!KNOWN_TYPES.has(type)) throw malformed(`unknown type ${type}`);
    const sequence = view.getUint32(9) * TWO_32 + view.getUint32(13);
    if (!Number.isSafeInteger(sequence)) throw malformed("a sequence number beyond 2^53");
    return { type: type as FrameType, stream: view.getUint32(5), sequence, payload };
  }
}

/** One after the other, in a buffer of their own. */
export function concat(a: Uint8Array, b: Uint8Array): Uint8Array {
  const joined = new Uint8Array(a.length + b.length);
  joined.set(a, 0);
  joined.set(b, a.length);
  return joined;
}

function malformed(reason: string): BlazarError {
  return blazarError("FrameMalformed", "read a frame", reason);
}
