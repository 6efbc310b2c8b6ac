/**
 * UTF-8 for QuickJS, which has no TextEncoder and no TextDecoder. It fits the `TextCodec` of protocol/wire/json.ts.
 *
 * Decoding follows the WHATWG Encoding Standard: it never throws, and ill-formed bytes become U+FFFD.
 */
import * as sys from "sys";

/** The UTF-8 of a text; lone surrogates become U+FFFD. */
export function encode(text: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(sys.utf8Encode(text));
}

/** The text of UTF-8 bytes. */
export function decode(bytes: Uint8Array): string {
  return sys.utf8Decode(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength);
}

/** JSON.parse of UTF-8 bytes, without a string in between. Throws SyntaxError. */
export function parseJsonBytes(bytes: Uint8Array): unknown {
  return sys.jsonParse(bytes.buffer as ArrayBuffer, bytes.byteOffset, bytes.byteLength);
}

/** The three functions as one object. */
export const textCodec = { encode, decode, parseJson: parseJsonBytes };
