/**
 * The text codec of frame links in Node.
 *
 * Invalid UTF-8 becomes U+FFFD, as it does on QuickJS: bytes of a hostile peer must fail a check and not throw from a
 * decoder. Must not keep state between calls.
 */
import type { TextCodec } from "../protocol/wire/json.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** UTF-8 by Node's own encoder and decoder. */
export const nodeText: TextCodec = {
  encode: (text) => encoder.encode(text),
  decode: (bytes) => decoder.decode(bytes),
};
