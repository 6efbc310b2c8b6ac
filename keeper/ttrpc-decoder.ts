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
  private held = new Uint8Array(0);
  private heldBytes = 0;

  /** Bytes of an unfinished message. */
  get buffered(): number {
    return this.heldBytes;
  }

  /** Throws FrameTooLong or FrameMalformed; after that the connection is beyond repair. */
  push(chunk: Uint8Array, onMessage: (message: TtrpcMessage) => void): void {
    for (let offset = 0; offset < chunk.length; ) {
      const wanted = this.wanted();
      const taken = Math.min(wanted - this.heldBytes, chunk.length - offset);
      this.hold(chunk.subarray(offset, offset + taken));
      offset += taken;
      if (this.heldBytes < wanted || this.heldBytes < this.wanted()) continue;
      const bytes = this.held.slice(0, this.heldBytes);
      this.held = new Uint8Array(0);
      this.heldBytes = 0;
      onMessage({ type: parseHeader(bytes).type, bytes });
    }
  }

  /** Bytes of the header, or of the whole message once the header is there. */
  private wanted(): number {
    if (this.heldBytes < TTRPC_HEADER_BYTES) return TTRPC_HEADER_BYTES;
    return TTRPC_HEADER_BYTES + parseHeader(this.held).length;
  }

  /** The buffer doubles: however the bytes are cut, each is copied a bounded number of times. */
  private hold(bytes: Uint8Array): void {
    const needed = this.heldBytes + bytes.length;
    if (needed > this.held.length) {
      const larger = new Uint8Array(Math.max(needed, 2 * this.held.length));
      larger.set(this.held.subarray(0, this.heldBytes));
      this.held = larger;
    }
    this.held.set(bytes, this.heldBytes);
    this.heldBytes = needed;
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
