/**
 * What an end of a link is made of (peer.ts): who it is, how it begins, what it does with what comes.
 */
import type { BlazarError } from "../../contracts/errors.ts";
import type { Frame } from "./frame.ts";
import type { Hello } from "./hello.ts";
import type { TextCodec } from "./json.ts";
import type { MarkStep } from "./request-steps.ts";

/**
 * How an end begins on a link on which the rest of its earlier life may be under way. The other end answers the nonce, and
 * nothing before that answer counts. The mark makes the other end drop what is unfinished.
 */
interface Beginning {
  /** Fresh at each call, and nobody can guess it. */
  readonly nonce: () => string;
  /** 32 hex digits that only the two ends know, the same in all lives of this end. */
  readonly mark: string;
  /** An earlier life of this end has told the mark. */
  readonly marked: boolean;
  /** A hello has come that answers nobody: the other end may have missed this end's. See `Peer.greetAgain`. */
  readonly onUnanswered: () => void;
}

export interface PeerOptions {
  /** Identifies this life of this process. */
  readonly session: string;
  readonly text: TextCodec;
  /** Largest frame to accept, in bytes. */
  readonly maxFrameBytes: number;
  /** The body of this end's hello, made anew at each attach. */
  readonly helloBody: () => unknown;
  /** The peer has said hello; throw to refuse it. Streams may be opened here. */
  readonly onHello: (hello: Hello, sameSession: boolean) => void;
  /** Answers a request: the result, or a throw. `mark` is for the steps of it, if the other end wants to know them. */
  readonly onRequest: (op: string, params: unknown, mark: MarkStep) => unknown;
  /** Milliseconds of a clock that steps are timed by; default: this end tells no steps. */
  readonly stepClock?: () => number;
  readonly onEvent: (event: string, params: unknown) => void;
  /** Largest request that the other end may send, over all of its frames; default: what fits into one. */
  readonly maxRequestBytes?: number;
  /** A frame of an extension type (the keeper's Task frames). Without it they are a violation. */
  readonly onExtension?: (frame: Frame) => void;
  /** True where the other end may only use streams that this end has opened. */
  readonly ownsStreams: boolean;
  /** Minor version of this end's protocol; default: none is told. */
  readonly minor?: number;
  /** Default: the link begins with this end's life. */
  readonly beginning?: Beginning;
  /** Another life of the other end is there, and the old one's link was not seen to go: drop what waits for that. */
  readonly onReplaced?: () => void;
  /** The peer broke the protocol: close the link. */
  readonly onViolation: (error: BlazarError) => void;
}
