/**
 * Requests that are too long for one frame: cut into parts by the sender, put together by the receiver. And requests that are too
 * many for the link: they wait their turn.
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

interface Outgoing {
  readonly id: number;
  readonly frames: readonly Uint8Array[];
  readonly urgent: boolean;
  /** Index of the frame to send next. */
  next: number;
}

/**
 * Sends requests no faster than the link takes them: callers decide how many there are, and how long. They keep their order; only an
 * urgent one goes ahead of those that are not begun.
 */
export class RequestSender {
  private readonly waiting: Outgoing[] = [];
  /** Has been sent in part. */
  private begun: Outgoing | undefined;
  private jammed = false;

  /** @param send says `wait` if the link has enough, until {@link drained} */
  constructor(private readonly send: (frame: Uint8Array) => unknown) {}

  add(id: number, frames: readonly Uint8Array[], urgent: boolean): void {
    const at = urgent ? this.waiting.findIndex((each) => !each.urgent) : -1;
    this.waiting.splice(at < 0 ? this.waiting.length : at, 0, { id, frames, urgent, next: 0 });
    this.flush();
  }

  /** Nobody waits for it any more: it is not sent, unless it has been begun. */
  withdraw(id: number): void {
    const at = this.waiting.findIndex((each) => each.id === id);
    if (at >= 0) this.waiting.splice(at, 1);
  }

  drained(): void {
    this.jammed = false;
    this.flush();
  }

  /** What waits will be added again. The rest of what is begun goes on first, or the other end could not tell its parts. */
  forgetWaiting(): void {
    this.waiting.length = 0;
  }

  /** The link is gone, and what was on it. */
  reset(): void {
    this.forgetWaiting();
    this.begun = undefined;
    this.jammed = false;
  }

  private flush(): void {
    while (!this.jammed) {
      const current = this.begun ?? this.waiting.shift();
      const frame = current?.frames[current.next++];
      if (current === undefined || frame === undefined) return;
      this.begun = current.next < current.frames.length ? current : undefined;
      this.jammed = this.send(frame) === "wait";
    }
  }
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
