/**
 * Cuts containerd's ttrpc byte stream into whole messages, which pass through the keeper unread.
 *
 * The header is big endian: `u32 length` of the payload, `u32 stream`, `u8 type` (1 request, 2 response, 3 data), `u8 flags`
 * (containerd/ttrpc PROTOCOL.md). It keeps at most one message, and must not look into payloads.
 */
import { blazarError } from "../../src/contracts/errors.ts";
import { HeldBytes } from "../../src/protocol/wire/held-bytes.ts";

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
  private readonly held = new HeldBytes();

  /** Bytes of an unfinished message. */
  get buffered(): number {
    return this.held.length;
  }

  /** Throws FrameTooLong or FrameMalformed; after that the connection is beyond repair. */
  push(chunk: Uint8Array, onMessage: (message: TtrpcMessage) => void): void {
    for (let offset = 0; offset < chunk.length; ) {
      const wanted = this.wanted();
      const taken = Math.min(wanted - this.held.length, chunk.length - offset);
      this.held.add(chunk.subarray(offset, offset + taken));
      offset += taken;
      if (this.held.length < wanted || this.held.length < this.wanted()) continue;
      // the buffer may be twice as long, and requests without an answer are kept
      const bytes = this.held.take().slice();
      onMessage({ type: parseHeader(bytes).type, bytes });
    }
  }

  /** Bytes of the header, or of the whole message once the header is there. */
  private wanted(): number {
    const { bytes } = this.held;
    return TTRPC_HEADER_BYTES + (bytes.length < TTRPC_HEADER_BYTES ? 0 : parseHeader(bytes).length);
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
