/**
 * One end of a link: hello, requests and responses, events, and the frames of streams.
 *
 * The same class serves the daemon (towards guests and the keeper), the guest agent and the keeper. It outlives its
 * transport: after a reconnect it resends unanswered requests and unacknowledged events. A request that arrives again is
 * answered from memory, so nothing is lost and nothing is done twice. It keeps no timer and does no I/O. Every violation
 * of the protocol ends in `onViolation`, which must close the link.
 */
import { BlazarError, blazarError } from "../../contracts/errors.ts";
import { type ErrorFallback, errorFromRecord, errorToRecord } from "./error-record.ts";
import { encodeAck, encodeFrame, type Frame, FrameDecoder, FrameType, withSequence } from "./frame.ts";
import { isRecord, parseJson, type TextCodec } from "./json.ts";
import { RequestParts, requestFrames } from "./request-parts.ts";
import { type MarkStep, type RequestStep, readSteps, StepMarks, unmarked } from "./request-steps.ts";
import { type StreamHandler, StreamTable } from "./stream-table.ts";

/** Version of the protocol; both ends refuse another major one. */
export const PROTOCOL_VERSION = 1;
/** Responses that are remembered, for a peer that resends its requests after a reconnect. */
const REMEMBERED_RESPONSES = 256;
/** Unacknowledged events that are kept. More of them mean that nobody has listened for very long. */
const MAX_RETAINED_EVENTS = 65_536;
/** Stands for the parts of an error that a failed response lacks. */
const REMOTE_FAILURE: ErrorFallback = { code: "GuestFailed", operation: "answer a request" };

/** What {@link Peer.openStream} takes. */
export type { StreamHandler };

/** First message either way. `body` is the role's own (guest/messages.ts, keeper/messages.ts). */
export interface Hello {
  readonly version: number;
  /** Identifies one life of the sending process. Another session has forgotten everything. */
  readonly session: string;
  /** Number of the last event that the sender has handled in the receiver's session; 0 if none. */
  readonly eventsHandled: number;
  readonly body: unknown;
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
  /** Streams up to this one may be open at the other end, for an earlier life of this end. Default: none. */
  readonly knownStreams?: number;
  /** The peer broke the protocol: close the link. */
  readonly onViolation: (error: BlazarError) => void;
}

interface PendingRequest {
  readonly frames: readonly Uint8Array[];
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: BlazarError) => void;
  readonly onSteps: ((steps: readonly RequestStep[]) => void) | undefined;
}

export class Peer {
  private readonly decoder: FrameDecoder;
  private transport: ((frame: Uint8Array) => void) | undefined;
  private greeted = false;
  private peerSession = "";
  private nextRequest = 1;
  private readonly pending = new Map<number, PendingRequest>();
  private readonly responses = new Map<number, Uint8Array | "running">();
  private nextEvent = 1;
  private readonly events = new Map<number, Uint8Array>();
  private eventsHandled = 0;
  private readonly streams: StreamTable;
  private readonly parts: RequestParts;

  constructor(private readonly options: PeerOptions) {
    this.decoder = new FrameDecoder(options.maxFrameBytes);
    this.streams = new StreamTable(options.ownsStreams, options.knownStreams);
    this.parts = new RequestParts(options.maxRequestBytes ?? options.maxFrameBytes);
  }

  /** True between the peer's hello and {@link detach}. */
  get attached(): boolean {
    return this.greeted;
  }

  /** A transport is there: sends the hello. Everything else waits for the peer's hello. */
  attach(transport: (frame: Uint8Array) => void): void {
    this.detach();
    this.transport = transport;
    const { session, helloBody } = this.options;
    const hello: Hello = {
      version: PROTOCOL_VERSION,
      session,
      eventsHandled: this.eventsHandled,
      body: helloBody(),
    };
    transport(this.json(FrameType.Hello, 0, hello));
  }

  /** The transport is gone. Requests and events wait for the next one. */
  detach(): void {
    if (this.transport === undefined) return;
    this.transport = undefined;
    this.greeted = false;
    this.parts.reset();
    this.decoder.reset();
    this.streams.detached();
  }

  /** The other end will not come back: fails every open request. */
  close(error: BlazarError): void {
    this.detach();
    const open = [...this.pending.values()];
    this.pending.clear();
    for (const request of open) request.reject(error);
  }

  /** Feeds bytes from the transport. */
  receive(chunk: Uint8Array): void {
    const transport = this.transport;
    try {
      this.decoder.push(chunk, (frame) => {
        if (this.transport === transport) this.dispatch(frame);
      });
    } catch (error) {
      this.options.onViolation(BlazarError.wrap(error, "FrameMalformed", { operation: "handle a frame" }));
    }
  }

  /**
   * Sends a request; it survives reconnects. `id` is for {@link abandon}.
   * @param onSteps is told, before the answer, in which steps the other end has answered
   */
  request(
    op: string,
    params: unknown,
    onSteps?: (steps: readonly RequestStep[]) => void,
  ): { id: number; result: Promise<unknown> } {
    const id = this.nextRequest++;
    const message = onSteps === undefined ? { op, params } : { op, params, steps: true };
    const frames = requestFrames(id, this.options.text.encode(JSON.stringify(message)));
    const result = new Promise<unknown>((resolve, reject) => {
      this.pending.set(id, { frames, resolve, reject, onSteps });
    });
    for (const frame of frames) this.send(frame);
    return { id, result };
  }

  /** Stops waiting for a request; a late response is ignored. */
  abandon(id: number, error: BlazarError): void {
    const request = this.pending.get(id);
    this.pending.delete(id);
    request?.reject(error);
  }

  /** Sends an event; it is kept until the other end has handled it. */
  emit(event: string, params: unknown): void {
    if (this.events.size >= MAX_RETAINED_EVENTS) {
      throw blazarError("ResourceExhausted", "keep an event", "too many unacknowledged", { subject: event });
    }
    const number = this.nextEvent++;
    const frame = this.json(FrameType.Event, number, { event, params });
    this.events.set(number, frame);
    this.send(frame);
  }

  /** Registers a stream's owner. If the link is up, `attached` is called at once. */
  openStream(id: number, handler: StreamHandler): void {
    this.streams.open(id, handler, this.greeted);
  }

  closeStream(id: number): void {
    this.streams.close(id);
  }

  /** Puts an encoded frame of a stream or an extension on the link; dropped while detached. */
  send(frame: Uint8Array): void {
    if (this.greeted) this.transport?.(frame);
  }

  private dispatch(frame: Frame): void {
    if (frame.type === FrameType.Hello) return this.greet(frame);
    if (!this.greeted) throw unexpected("a frame before the hello");
    switch (frame.type) {
      case FrameType.Request:
        return this.requested(frame);
      case FrameType.RequestPart:
        return this.parts.add(frame);
      case FrameType.Response:
        return this.responded(frame);
      case FrameType.Event:
        return this.evented(frame);
      case FrameType.Data:
        return this.streams.owner(frame)?.data?.(frame.sequence, frame.payload);
      case FrameType.Eof:
        return this.streams.owner(frame)?.end?.(frame.sequence);
      case FrameType.Reset:
        return this.streams.owner(frame)?.reset?.();
      case FrameType.Ack:
        if (frame.stream === 0) return this.eventsAcknowledged(frame.sequence);
        return this.streams.acknowledged(frame);
      default:
        if (this.options.onExtension === undefined) throw unexpected(`type ${frame.type} on this link`);
        return this.options.onExtension(frame);
    }
  }

  private greet(frame: Frame): void {
    // If a host reconnects before the guest notices the hang-up, a second hello is all that the guest sees: it starts
    // over. For the host, a second hello means that the agent has restarted and lost its containers.
    if (this.greeted && this.options.ownsStreams)
      throw unexpected("a second hello, so the other end has restarted");
    if (this.greeted && this.transport !== undefined) this.attach(this.transport);
    this.hello(frame);
  }

  private hello(frame: Frame): void {
    const hello = this.parse(frame);
    const { version, session, eventsHandled } = hello;
    if (typeof version !== "number" || typeof session !== "string" || typeof eventsHandled !== "number") {
      throw blazarError("FrameMalformed", "read a hello", "version, session or eventsHandled is missing");
    }
    if (version !== PROTOCOL_VERSION) {
      throw blazarError(
        "ProtocolVersion",
        "greet the other end",
        `it speaks version ${version} of the protocol, this end speaks ${PROTOCOL_VERSION}`,
        { remedy: "use a keeper and a guest image of the same release as blazard" },
      );
    }
    const sameSession = session === this.peerSession;
    if (!sameSession) this.forgetPeer(session);
    this.greeted = true;
    this.options.onHello({ version, session, eventsHandled, body: hello["body"] }, sameSession);
    this.eventsAcknowledged(eventsHandled);
    for (const { frames } of this.pending.values()) for (const frame of frames) this.send(frame);
    for (const event of this.events.values()) this.send(event);
    this.streams.attached();
  }

  private forgetPeer(session: string): void {
    this.peerSession = session;
    this.eventsHandled = 0;
    this.responses.clear();
    this.renumberEvents();
  }

  /** A new life of the other end counts events from 1, beginning with those that are not acknowledged. */
  private renumberEvents(): void {
    const kept = [...this.events.values()];
    this.events.clear();
    this.nextEvent = 1;
    for (const event of kept) {
      const number = this.nextEvent++;
      this.events.set(number, withSequence(event, number));
    }
  }

  private requested(last: Frame): void {
    const frame = this.parts.whole(last);
    const id = frame.sequence;
    const known = this.responses.get(id);
    if (known === "running") return;
    if (known !== undefined) return this.send(known);
    const { op, params, steps } = this.parse(frame);
    if (typeof op !== "string") throw unexpected("a request without an op");
    this.responses.set(id, "running");
    const session = this.peerSession;
    const { stepClock } = this.options;
    const marks = steps === true && stepClock !== undefined ? new StepMarks(stepClock) : undefined;
    const answer = (body: Record<string, unknown>): void => {
      const told = marks === undefined ? body : { ...body, steps: marks.steps };
      if (session === this.peerSession) this.respond(id, told);
    };
    const mark = marks?.mark ?? unmarked;
    new Promise((resolve) => resolve(this.options.onRequest(op, params, mark))).then(
      (result) => answer({ ok: true, result: result ?? null }),
      (error: unknown) =>
        answer({ ok: false, error: errorToRecord(error, { code: "Internal", operation: op }) }),
    );
  }

  private respond(id: number, body: unknown): void {
    const response = this.json(FrameType.Response, id, body);
    this.responses.set(id, response);
    if (this.responses.size > REMEMBERED_RESPONSES) {
      for (const [old, state] of this.responses) {
        if (state === "running") continue;
        this.responses.delete(old);
        break;
      }
    }
    this.send(response);
  }

  private responded(frame: Frame): void {
    const request = this.pending.get(frame.sequence);
    if (request === undefined) {
      if (frame.sequence >= this.nextRequest)
        throw unexpected(`a response to request ${frame.sequence}, never sent`);
      return;
    }
    const body = this.parse(frame);
    this.pending.delete(frame.sequence);
    request.onSteps?.(readSteps(body["steps"]));
    if (body["ok"] === true) request.resolve(body["result"]);
    else request.reject(errorFromRecord(body["error"], REMOTE_FAILURE));
  }

  private evented(frame: Frame): void {
    if (frame.sequence > this.eventsHandled + 1) {
      throw unexpected(`event ${frame.sequence}, expected ${this.eventsHandled + 1}`);
    }
    if (frame.sequence > this.eventsHandled) {
      const { event, params } = this.parse(frame);
      if (typeof event !== "string") throw unexpected("an event without a name");
      this.eventsHandled = frame.sequence;
      this.options.onEvent(event, params);
    }
    this.send(encodeAck(0, this.eventsHandled, 0));
  }

  private eventsAcknowledged(number: number): void {
    if (number >= this.nextEvent) return;
    for (const event of this.events.keys()) {
      if (event > number) break;
      this.events.delete(event);
    }
  }

  private parse(frame: Frame): Record<string, unknown> {
    const value = parseJson(this.options.text, frame.payload);
    if (!isRecord(value)) throw unexpected("a message that is not an object");
    return value;
  }

  private json(type: FrameType, sequence: number, value: unknown): Uint8Array {
    return encodeFrame(type, 0, sequence, this.options.text.encode(JSON.stringify(value)));
  }
}

function unexpected(reason: string): BlazarError {
  return blazarError("FrameUnexpected", "handle a frame", reason);
}
