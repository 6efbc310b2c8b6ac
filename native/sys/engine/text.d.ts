/**
 * UTF-8, JSON and base64 between buffers and strings (text.c).
 */

declare module "sys" {
  /** UTF-8 of `text`; lone surrogates become U+FFFD. */
  export function utf8Encode(text: string): ArrayBuffer;
  /** Writes the UTF-8 of `text` at `offset`: the bytes written, or -(bytes needed) if they do not fit. */
  export function utf8EncodeInto(text: string, buffer: ArrayBuffer, offset: number): number;
  /** UTF-8 to string, never throwing: ill-formed bytes become U+FFFD, as TextDecoder does. */
  export function utf8Decode(buffer: ArrayBuffer, offset: number, length: number): string;
  /** JSON.parse of UTF-8 bytes. Throws SyntaxError, also for ill-formed UTF-8. */
  export function jsonParse(buffer: ArrayBuffer, offset: number, length: number): unknown;
  /** The bytes of base64 (RFC 4648, section 4). Throws RangeError for anything else. */
  export function base64Decode(text: string): ArrayBuffer;
  /** The base64 (RFC 4648, section 4) of bytes. */
  export function base64Encode(buffer: ArrayBuffer, offset: number, length: number): string;
}
