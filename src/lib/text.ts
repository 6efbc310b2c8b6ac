/**
 * The text codec of Node's end of a frame link.
 *
 * Invalid UTF-8 becomes U+FFFD, as on the QuickJS end: what a hostile peer sends must fail a check, not throw
 * from a decoder. It must not keep a stream open between calls.
 */
import type { TextCodec } from "../protocol/wire/json.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** UTF-8 by Node's own encoder and decoder. */
export const nodeText: TextCodec = {
  encode: (text) => encoder.encode(text),
  decode: (bytes) => decoder.decode(bytes),
};
