/**
 * Cuts a byte stream into {@link Frame}s.
 *
 * It never holds more than one frame, whose size is limited, and its work is linear in the bytes, however they are cut: the
 * other end may be hostile and send them one by one. It knows no transport and no engine: it runs in Node and in QuickJS.
 */
import { blazarError } from "../../contracts/errors.ts";
import { FRAME_HEADER_BYTES, type Frame, FrameType, LENGTH_BYTES, malformed } from "./frame.ts";
import { HeldBytes } from "./held-bytes.ts";

const COUNTED_HEADER_BYTES = FRAME_HEADER_BYTES - LENGTH_BYTES;
const KNOWN_TYPES: ReadonlySet<number> = new Set<number>(Object.values(FrameType));
const TWO_32 = 0x1_0000_0000;

/**
 * Feed it whatever arrives; it calls `onFrame` for each whole frame. After it has thrown (FrameTooLong, FrameMalformed) the
 * link is beyond repair: close it.
 */
export class FrameDecoder {
  /** The beginning of an unfinished frame. */
  private readonly held = new HeldBytes();

  constructor(private readonly maxFrameBytes: number) {}

  /** Bytes that may stand between two frames, and mean nothing there. They begin as a frame does that never comes whole. */
  skipped: Uint8Array | undefined;

  /** Bytes of an unfinished frame held back. */
  get buffered(): number {
    return this.held.length;
  }

  push(chunk: Uint8Array, onFrame: (frame: Frame) => void): void {
    let offset = 0;
    while (this.held.length > 0 && offset < chunk.length)
      offset += this.complete(chunk.subarray(offset), onFrame);
    const rest = this.cut(offset === 0 ? chunk : chunk.subarray(offset), onFrame);
    if (rest.length > 0) this.held.add(rest);
  }

  /** Forgets an unfinished frame, as after a hang-up of the peer. */
  reset(): void {
    this.held.clear();
  }

  /** Adds what the held frame lacks, and no more; hands it on once it is whole. Returns how many bytes were taken. */
  private complete(chunk: Uint8Array, onFrame: (frame: Frame) => void): number {
    const wanted = this.wanted() - this.held.length;
    const taken = Math.min(wanted, chunk.length);
    this.held.add(chunk.subarray(0, taken));
    if (taken < wanted) return taken;
    const rest = this.cut(this.held.take(), onFrame);
    if (rest.length > 0) this.held.add(rest);
    return taken;
  }

  /** How many bytes the held one has to have before anything more can be said of it. */
  private wanted(): number {
    const { bytes } = this.held;
    if (bytes.length < LENGTH_BYTES) return LENGTH_BYTES;
    // it may be bytes to skip, of which one more tells
    const whole = this.skip(bytes) === 0 ? LENGTH_BYTES + this.lengthOf(bytes) : 0;
    return Math.max(whole, bytes.length + 1);
  }

  /** Hands on all whole frames; returns the bytes after them. */
  private cut(bytes: Uint8Array, onFrame: (frame: Frame) => void): Uint8Array {
    let offset = 0;
    while (bytes.length - offset >= LENGTH_BYTES) {
      const left = offset === 0 ? bytes : bytes.subarray(offset);
      const skip = this.skip(left);
      if (skip === undefined) break;
      if (skip > 0) {
        offset += skip;
        continue;
      }
      const end = LENGTH_BYTES + this.lengthOf(left);
      if (left.length < end) break;
      onFrame(parse(left, end));
      offset += end;
    }
    return bytes.subarray(offset);
  }

  /** How many of the bytes, which are at least a length, are to be left out; undefined: more of them tell. */
  private skip(bytes: Uint8Array): number | undefined {
    const { skipped } = this;
    if (skipped === undefined) return 0;
    const count = Math.min(skipped.length, bytes.length);
    for (let index = 0; index < count; index++) if (bytes[index] !== skipped[index]) return 0;
    return count === skipped.length ? count : undefined;
  }

  /** Bytes after the length, of a frame that may come. */
  private lengthOf(bytes: Uint8Array): number {
    const length = viewOf(bytes).getUint32(0);
    if (length < COUNTED_HEADER_BYTES) throw malformed(`a length of ${length} is shorter than a header`);
    if (length + LENGTH_BYTES <= this.maxFrameBytes) return length;
    const reason = `it announces ${length + LENGTH_BYTES} bytes, ${this.maxFrameBytes} are allowed`;
    throw blazarError("FrameTooLong", "read a frame", reason);
  }
}

function parse(bytes: Uint8Array, end: number): Frame {
  const view = viewOf(bytes);
  const type = view.getUint8(4);
  if (!KNOWN_TYPES.has(type)) throw malformed(`unknown type ${type}`);
  const sequence = view.getUint32(9) * TWO_32 + view.getUint32(13);
  if (!Number.isSafeInteger(sequence)) throw malformed("a sequence number beyond 2^53");
  const payload = bytes.subarray(FRAME_HEADER_BYTES, end);
  return { type: type as FrameType, stream: view.getUint32(5), sequence, payload };
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
