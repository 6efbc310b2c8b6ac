/**
 * Cuts containerd's ttrpc byte stream into whole messages, which pass through the keeper unread.
 *
 * The header is big endian: `u32 length` of the payload, `u32 stream`, `u8 type` (1 request, 2 response, 3 data), `u8 flags`
 * (containerd/ttrpc PROTOCOL.md). It keeps at most one message, and must not look into payloads.
 */
import { blazarError } from "../src/contracts/errors.ts";

/** Bytes before the payload. */
export const TTRPC_HEADER_BYTES = 10;
/** Largest payload, as in containerd's own ttrpc. */
export const TTRPC_MAX_PAYLOAD_BYTES = 4 * 1024 * 1024;

/** Message types that a client may send. */
export const TtrpcType = { Request: 1, Data: 3 } as const;

/** A whole message; `bytes` is its own buffer, header included. */
export interface TtrpcMessage {
  readonly type: number;
  readonly bytes: Uint8Array;
}

export class TtrpcDecoder {
  private chunks: Uint8Array[] = [];
  private buffered = 0;

  /** Throws FrameTooLong or FrameMalformed; after that the connection is beyond repair. */
  push(chunk: Uint8Array, onMessage: (message: TtrpcMessage) => void): void {
    this.chunks.push(chunk.slice());
    this.buffered += chunk.length;
    while (this.buffered >= TTRPC_HEADER_BYTES) {
      const header = this.peek();
      const { length, type } = parseHeader(header);
      const total = TTRPC_HEADER_BYTES + length;
      if (this.buffered < total) return;
      onMessage({ type, bytes: this.take(total) });
    }
  }

  /** The header, joined if it lies across chunks. */
  private peek(): Uint8Array {
    const [first] = this.chunks;
    if (first !== undefined && first.length >= TTRPC_HEADER_BYTES) return first;
    this.chunks = [this.take(this.buffered)];
    this.buffered = this.chunks[0]?.length ?? 0;
    return this.chunks[0] ?? new Uint8Array(0);
  }

  private take(count: number): Uint8Array {
    const taken = new Uint8Array(count);
    let filled = 0;
    while (filled < count) {
      const chunk = this.chunks[0];
      if (chunk === undefined) break;
      const part = chunk.subarray(0, count - filled);
      taken.set(part, filled);
      filled += part.length;
      if (part.length === chunk.length) this.chunks.shift();
      else this.chunks[0] = chunk.subarray(part.length);
    }
    this.buffered -= filled;
    return taken;
  }
}

function parseHeader(bytes: Uint8Array): { length: number; type: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, TTRPC_HEADER_BYTES);
  const length = view.getUint32(0);
  const type = view.getUint8(8);
  if (type !== TtrpcType.Request && type !== TtrpcType.Data) {
    throw blazarError("FrameMalformed", "read a ttrpc message", `unknown type ${type}`);
  }
  if (length > TTRPC_MAX_PAYLOAD_BYTES) {
    const reason = `it announces ${length} bytes, ${TTRPC_MAX_PAYLOAD_BYTES} are allowed`;
    throw blazarError("FrameTooLong", "read a ttrpc message", reason);
  }
  return { length, type };
}
