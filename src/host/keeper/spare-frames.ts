/**
 * Buffers for frames of output, used again and again.
 *
 * Where output floods, a buffer for each frame would pile up tens of megabytes until V8 collects its garbage. A frame may be
 * given back once the keeper has acknowledged it: then no socket holds it any more.
 */
import {
  encodeFrame,
  FRAME_HEADER_BYTES,
  FrameType,
  MAX_DATA_BYTES,
  writeHeader,
} from "../../protocol/wire/frame.ts";

const FRAME_BYTES = FRAME_HEADER_BYTES + MAX_DATA_BYTES;
/** Shorter ones are made anew: a kept frame must not hold far more memory than it has bytes. */
const SHORT_BYTES = FRAME_BYTES / 2;
/** As many as the credit of a few streams. */
const MAX_SPARE = 8;

export class SpareFrames {
  private readonly spare: ArrayBufferLike[] = [];

  /** A Data frame with a copy of `bytes`. */
  encode(stream: number, offset: number, bytes: Uint8Array): Uint8Array {
    if (bytes.length < SHORT_BYTES || bytes.length > MAX_DATA_BYTES) {
      return encodeFrame(FrameType.Data, stream, offset, bytes);
    }
    const frame = new Uint8Array(
      this.spare.pop() ?? new ArrayBuffer(FRAME_BYTES),
      0,
      FRAME_HEADER_BYTES + bytes.length,
    );
    frame.set(bytes, FRAME_HEADER_BYTES);
    writeHeader(frame, FrameType.Data, stream, offset);
    return frame;
  }

  /** Takes back a frame that nobody uses any more, made here or not. */
  giveBack({ buffer }: Uint8Array): void {
    if (buffer.byteLength === FRAME_BYTES && this.spare.length < MAX_SPARE) this.spare.push(buffer);
  }
}

/** Of all streams: each has only a few frames on their way. */
export const spareFrames = new SpareFrames();
