/**
 * Finds the hello that answers this end's nonce in a byte stream that may begin with the rest of an earlier life's.
 *
 * What comes first may be half a frame, whole frames, or an old hello, and a container may have chosen its bytes. Only the
 * other end knows the nonce, so a hello with it is no container's. A hello that answers nothing is one of an older
 * release; it counts at the very beginning only. Everything before is dropped, within a bound.
 */
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import { concat, FRAME_HEADER_BYTES, FrameType } from "./frame.ts";
import { isHelloHeader, MAX_GUEST_HELLO_BYTES, PROTOCOL_VERSION } from "./hello.ts";
import { isRecord, parseJson, type TextCodec } from "./json.ts";

const LENGTH_BYTES = 4;
/** More than what may wait in a guest for a host that has died. */
const MOST_DROPPED = 32 * 1024 * 1024;
const EMPTY = new Uint8Array(0);

export class HelloSearch {
  private held: Uint8Array = EMPTY;
  private dropped = 0;

  /** `onOther` is told of each hello that answers somebody else. */
  constructor(
    private readonly text: TextCodec,
    private readonly nonce: string,
    private readonly onOther: () => void,
  ) {}

  /** Returns the bytes from the hello on, or undefined while it has not come. Throws FrameUnexpected beyond the bound. */
  push(chunk: Uint8Array): Uint8Array | undefined {
    const bytes = this.held.length === 0 ? chunk : concat(this.held, chunk);
    let keep = Math.max(0, bytes.length - (FRAME_HEADER_BYTES - 1));
    for (let at = nextType(bytes, 0); at + FRAME_HEADER_BYTES <= bytes.length; at = nextType(bytes, at + 1)) {
      if (!isHelloHeader(bytes, at)) continue;
      const end = at + LENGTH_BYTES + lengthAt(bytes, at);
      if (end - at < FRAME_HEADER_BYTES || end - at > MAX_GUEST_HELLO_BYTES) continue;
      if (end > bytes.length) keep = Math.min(keep, at);
      else if (this.isAnswer(bytes.subarray(at + FRAME_HEADER_BYTES, end), this.dropped + at === 0))
        return bytes.subarray(at);
    }
    this.held = bytes.slice(keep);
    this.dropped += keep;
    if (this.dropped > MOST_DROPPED) throw tooMuch();
    return undefined;
  }

  private isAnswer(payload: Uint8Array, first: boolean): boolean {
    const hello = this.parsed(payload);
    if (hello === undefined) return false;
    const { answers, version } = hello;
    if (answers === this.nonce) return true;
    // it is refused for its version, or it is an older release's
    if (first && (answers === undefined || version !== PROTOCOL_VERSION)) return true;
    if (typeof answers === "string") this.onOther();
    return false;
  }

  private parsed(payload: Uint8Array): Record<string, unknown> | undefined {
    try {
      const value = parseJson(this.text, payload);
      return isRecord(value) ? value : undefined;
    } catch {
      return undefined;
    }
  }
}

/** The next place from `from` on where a frame of a hello's type may begin; far away if there is none. */
function nextType(bytes: Uint8Array, from: number): number {
  const type = bytes.indexOf(FrameType.Hello, from + LENGTH_BYTES);
  return type < 0 ? bytes.length : type - LENGTH_BYTES;
}

function lengthAt(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset + at, LENGTH_BYTES).getUint32(0);
}

function tooMuch(): BlazarError {
  const reason = `no answer to this end's hello in ${MOST_DROPPED} bytes`;
  return blazarError("FrameUnexpected", "find the other end's hello", reason);
}
