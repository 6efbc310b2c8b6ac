/**
 * The first message either way: who speaks, in which version, and what the two ends need to begin anew.
 *
 * Only `version`, `session`, `eventsHandled` and `body` are always there. All other parts came later, and an end must work
 * with a hello that lacks them. A new part is optional for ever; another major version is refused.
 */
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import { type Frame, FrameType } from "./frame.ts";
import { integer, object, optional, parseJson, string, type TextCodec } from "./json.ts";

/** Version of the protocol; both ends refuse another major one. */
export const PROTOCOL_VERSION = 1;
/** Longest hello; a keeper's lists all that it holds. */
export const MAX_GUEST_HELLO_BYTES = 64 * 1024;
/** So many stream ids may be taken already; as many are left. */
const MOST_STREAMS = 0x7fff_ffff;

/** `body` is the role's own (guest/messages.ts, keeper/messages.ts). */
export interface Hello {
  readonly version: number;
  /** What the sender has learned since the major version came; undefined before there were minor ones. */
  readonly minor?: number | undefined;
  /** Identifies one life of the sending process. Another session has forgotten everything. */
  readonly session: string;
  /** Number of the last event that the sender has handled in the receiver's session; 0 if none. */
  readonly eventsHandled: number;
  /** A question, fresh at each attach. Whatever comes before the hello that answers it is left over of an earlier life. */
  readonly nonce?: string | undefined;
  /** The nonce of the hello that this one answers; "" if it answers none. */
  readonly answers?: string | undefined;
  /** What a later life of the sender begins with, before its hello: hex digits. */
  readonly mark?: string | undefined;
  /** Highest stream id that the sender has in use. Ids up to it belong to earlier lives of the receiver. */
  readonly streams?: number | undefined;
  readonly body: unknown;
}

const parts = object({
  version: integer(0),
  minor: optional(integer(0)),
  session: string,
  eventsHandled: integer(0),
  nonce: optional(string),
  answers: optional(string),
  mark: optional(string),
  streams: optional(integer(0, MOST_STREAMS)),
});

/** Throws FrameMalformed, or ProtocolVersion whatever the rest of it is. */
export function readHello(text: TextCodec, frame: Frame): Hello {
  const value = parseJson(text, frame.payload);
  const version = (value as { version?: unknown } | null)?.version;
  if (typeof version === "number" && version !== PROTOCOL_VERSION) throw otherVersion(version);
  const hello = parts(value, "hello");
  return { ...hello, body: (value as { body?: unknown }).body };
}

/** The length of a frame that is allowed, and never comes whole. */
const MARK_BEGINNING = "000ffff0";

/** A mark of 32 random hex digits. It begins as a long frame does, so half a mark of a dead host breaks no rule. */
export function markOf(secret: string): string {
  return MARK_BEGINNING + secret.slice(MARK_BEGINNING.length);
}

/** The bytes that stand for a mark. Throws FrameMalformed. */
export function markBytes(mark: string): Uint8Array {
  const digits = mark.match(/^(?:[0-9a-f]{2}){16}$/) === null ? undefined : mark.match(/../g);
  if (digits === undefined || digits === null)
    throw blazarError("FrameMalformed", "read a hello", "its mark is no 32 hex digits");
  return Uint8Array.from(digits, (byte) => Number.parseInt(byte, 16));
}

/** Whether this is how a hello's frame begins: type, stream and sequence, after the length. */
export function isHelloHeader(bytes: Uint8Array, at: number): boolean {
  if (bytes[at + 4] !== FrameType.Hello) return false;
  for (let index = at + 5; index < at + 17; index++) if (bytes[index] !== 0) return false;
  return true;
}

function otherVersion(version: number): BlazarError {
  return blazarError(
    "ProtocolVersion",
    "greet the other end",
    `it speaks version ${version} of the protocol, this end speaks ${PROTOCOL_VERSION}`,
    { remedy: "drain the node, then use keeper, guest image and blazard of the same release" },
  );
}
