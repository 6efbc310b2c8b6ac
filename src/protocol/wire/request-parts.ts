/**
 * Requests that are too long for one frame: cut into parts by the sender, put together by the receiver.
 *
 * The last bytes are the payload of a frame `Request`, all others come before it as `RequestPart` with the same id
 * (frame.ts). A receiver holds one unfinished request, and no more bytes of it than it allows.
 */
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import { encodeFrame, type Frame, FrameType, REQUEST_PART_BYTES } from "./frame.ts";

/** The frames of a request, in order. */
export function requestFrames(id: number, payload: Uint8Array): Uint8Array[] {
  const frames: Uint8Array[] = [];
  let offset = 0;
  for (; payload.length - offset > REQUEST_PART_BYTES; offset += REQUEST_PART_BYTES) {
    const part = payload.subarray(offset, offset + REQUEST_PART_BYTES);
    frames.push(encodeFrame(FrameType.RequestPart, 0, id, part));
  }
  frames.push(encodeFrame(FrameType.Request, 0, id, payload.subarray(offset)));
  return frames;
}

export class RequestParts {
  private id = 0;
  private parts: Uint8Array[] = [];
  private bytes = 0;

  /** Larger requests are a violation of the protocol. */
  constructor(private readonly maxBytes: number) {}

  /** Forgets an unfinished request: the other end sends it again as a whole. */
  reset(): void {
    this.parts = [];
    this.bytes = 0;
  }

  /** Throws FrameUnexpected, FrameTooLong. */
  add({ sequence, payload }: Frame): void {
    this.refuseOther(sequence);
    this.refuseLong(payload);
    this.id = sequence;
    this.parts.push(payload.slice());
    this.bytes += payload.length;
  }

  /** The whole of a request of which this is the last frame. Throws FrameUnexpected, FrameTooLong. */
  whole(last: Frame): Frame {
    if (this.parts.length === 0) return last;
    this.refuseOther(last.sequence);
    this.refuseLong(last.payload);
    const payload = new Uint8Array(this.bytes + last.payload.length);
    let offset = 0;
    for (const part of [...this.parts, last.payload]) {
      payload.set(part, offset);
      offset += part.length;
    }
    this.reset();
    return { ...last, payload };
  }

  private refuseOther(id: number): void {
    if (this.parts.length === 0 || id === this.id) return;
    throw violation("FrameUnexpected", `request ${id} begins while ${this.id} is not whole`);
  }

  private refuseLong(payload: Uint8Array): void {
    const bytes = this.bytes + payload.length;
    if (bytes <= this.maxBytes) return;
    throw violation("FrameTooLong", `it has ${bytes} bytes or more, ${this.maxBytes} are allowed`);
  }
}

function violation(code: "FrameUnexpected" | "FrameTooLong", reason: string): BlazarError {
  return blazarError(code, "read a request", reason);
}
