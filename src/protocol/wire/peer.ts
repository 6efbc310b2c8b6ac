/**
 * One end of a link: hello, requests and responses, events, and the frames of streams.
 *
 * The same class serves the daemon (towards guests and the keeper), the guest agent and the keeper. It outlives its
 * transport: after a reconnect it resends unanswered requests and unacknowledged events. A request that arrives again is
 * answered from memory, so nothing is lost and nothing is done twice. It keeps no timer and does no I/O. Every violation
 * of the protocol ends in `onViolation`, which must close the link.
 */
import { BlazarError, blazarError } from "../../contracts/errors.ts";
import { type ErrorFallback, errorFromRecord } from "./error-record.ts";
import { concat, encodeAck, encodeFrame, type Frame, FrameType, withSequence } from "./frame.ts";
import { FrameDecoder } from "./frame-decoder.ts";
import { type Hello, markBytes, PROTOCOL_VERSION, readHello } from "./hello.ts";
import { HelloSearch } from "./hello-search.ts";
import { isRecord, parseJson } from "./json.ts";
import type { PeerOptions } from "./peer-options.ts";
import { RequestAnswers } from "./request-answers.ts";
import { RequestParts, RequestSender, requestFrames } from "./request-parts.ts";
import { type RequestStep, readSteps } from "./request-steps.ts";
import { type StreamHandler, StreamTable } from "./stream-table.ts";

/** Unacknowledged events that are kept. More of them mean that nobody has listened for very long. */
const MAX_RETAINED_EVENTS = 65_536;
/** Stands for the parts of an error that a failed response lacks. */
const REMOTE_FAILURE: ErrorFallback = { code: "GuestFailed", operation: "answer a request" };

/** What {@link Peer.openStream} takes. */
export type { StreamHandler };

interface PendingRequest {
  readonly frames: readonly Uint8Array[];
  readonly urgent: boolean;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: BlazarError) => void;
  readonly onSteps: ((steps: readonly RequestStep[]) => void) | undefined;
}

export class Peer {
  private readonly decoder: FrameDecoder;
  private transport: ((frame: Uint8Array) => unknown) | undefined;
  private greeted = false;
  private peerSession = "";
  /** While the other end's hello is looked for. */
  private search: HelloSearch | undefined;
  private nonce: string | undefined;
  /** The nonce that this end's hello answers; undefined for an older other end. */
  private answers: string | undefined;
  /** How another life of the other end begins. */
  private mark: Uint8Array | undefined;
  private nextRequest = 1;
  private readonly pending = new Map<number, PendingRequest>();
  private nextEvent = 1;
  private readonly events = new Map<number, Uint8Array>();
  private eventsHandled = 0;
  private readonly streams: StreamTable;
  private readonly parts: RequestParts;
  private readonly sender = new RequestSender((frame) => this.transport?.(frame));
  private readonly answered: RequestAnswers;

  constructor(private readonly options: PeerOptions) {
    this.decoder = new FrameDecoder(options.maxFrameBytes);
    this.streams = new StreamTable(options.ownsStreams);
    this.parts = new RequestParts(options.maxRequestBytes ?? options.maxFrameBytes);
    const { text, onRequest, stepClock } = options;
    this.answered = new RequestAnswers({ text, onRequest, stepClock, send: (frame) => this.send(frame) });
  }

  /** True between the peer's hello and {@link detach}. */
  get attached(): boolean {
    return this.greeted;
  }

  /**
   * A transport is there: sends the hello. Everything else waits for the peer's hello. If the transport says `wait`, further requests
   * do so until {@link drained}; what is bounded by itself does not, such as streams by their credit.
   */
  attach(transport: (frame: Uint8Array) => unknown): void {
    this.detach();
    this.transport = transport;
    const { beginning, text } = this.options;
    this.nonce = beginning?.nonce();
    this.search =
      beginning === undefined ? undefined : new HelloSearch(text, this.nonce ?? "", beginning.onUnanswered);
    this.sendHello();
  }

  /** The transport takes more again. */
  drained(): void {
    this.sender.drained();
  }

  /** Says hello once more, to an other end that has not answered. */
  greetAgain(): void {
    if (this.transport !== undefined && !this.greeted) this.sendHello();
  }

  private sendHello(): void {
    const { session, helloBody, minor, beginning, ownsStreams } = this.options;
    const hello: Hello = {
      version: PROTOCOL_VERSION,
      ...(minor === undefined ? {} : { minor }),
      session,
      eventsHandled: this.eventsHandled,
      ...(beginning === undefined ? {} : { nonce: this.nonce, mark: beginning.mark }),
      ...(ownsStreams ? {} : { answers: this.answers ?? "", streams: this.streams.highest }),
      body: helloBody(),
    };
    const frame = this.json(FrameType.Hello, 0, hello);
    this.transport?.(beginning?.marked === true ? concat(markBytes(beginning.mark), frame) : frame);
  }

  /** The transport is gone. Requests and events wait for the next one. */
  detach(): void {
    if (this.transport === undefined) return;
    this.transport = undefined;
    this.greeted = false;
    this.answers = undefined;
    this.parts.reset();
    this.sender.reset();
    this.decoder.reset();
    this.streams.detached();
  }

  /** The other end will not come back: fails every open request. */
  close(error: BlazarError): void {
    this.detach();
    this.failRequests(error);
  }

  /** Whoever was asked is gone: fails every open request. */
  failRequests(error: BlazarError): void {
    for (const id of [...this.pending.keys()]) this.abandon(id, error);
  }

  /** Feeds bytes from the transport. A {@link Beginning}'s mark is looked for at the start of a chunk. */
  receive(chunk: Uint8Array): void {
    const transport = this.transport;
    try {
      const bytes = this.current(chunk);
      if (bytes === undefined) return;
      this.decoder.push(bytes, (frame) => {
        if (this.transport === transport) this.dispatch(frame);
      });
    } catch (error) {
      this.options.onViolation(BlazarError.wrap(error, "FrameMalformed", { operation: "handle a frame" }));
    }
  }

  /** Whether another life of the other end begins with these bytes. */
  beginsAnew(chunk: Uint8Array): boolean {
    return this.mark?.every((byte, index) => chunk[index] === byte) ?? false;
  }

  /** What of the bytes is of the other end's present life. */
  private current(chunk: Uint8Array): Uint8Array | undefined {
    if (this.search !== undefined) {
      const bytes = this.search.push(chunk);
      if (bytes !== undefined) this.search = undefined;
      return bytes;
    }
    if (this.mark === undefined || !this.beginsAnew(chunk)) return chunk;
    this.decoder.reset();
    this.parts.reset();
    return chunk.subarray(this.mark.length);
  }

  /**
   * Sends a request; it survives reconnects. `id` is for {@link abandon}.
   * @param onSteps is told, before the answer, in which steps the other end has answered
   * @param urgent it may be sent ahead of requests that wait for the transport
   */
  request(
    op: string,
    params: unknown,
    onSteps?: (steps: readonly RequestStep[]) => void,
    urgent = false,
  ): { id: number; result: Promise<unknown> } {
    const id = this.nextRequest++;
    const message = onSteps === undefined ? { op, params } : { op, params, steps: true };
    const frames = requestFrames(id, this.options.text.encode(JSON.stringify(message)));
    const result = new Promise<unknown>((resolve, reject) => {
      this.pending.set(id, { frames, urgent, resolve, reject, onSteps });
    });
    if (this.greeted) this.sender.add(id, frames, urgent);
    return { id, result };
  }

  /** Stops waiting for a request; a late response is ignored. */
  abandon(id: number, error: BlazarError): void {
    const request = this.pending.get(id);
    this.pending.delete(id);
    this.sender.withdraw(id);
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

  /** A stream id that this end has never used, nor an earlier life of it; known at the other end's hello. */
  allotStream(): number {
    return this.streams.allot();
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

  /**
   * The end that owns no streams may see nothing of a link's end but a second hello: it starts over, with a hello of its
   * own. For the end that owns them, a second hello with its nonce is that answer. Any other one means that the other end has
   * begun anew, by a restart or because it has reset the link, and waits for a hello: this link is over.
   */
  private greet(frame: Frame): void {
    const hello = readHello(this.options.text, frame);
    const sameSession = hello.session === this.peerSession;
    if (this.options.ownsStreams) {
      if (this.greeted && !this.isAnswer(hello, sameSession))
        throw unexpected("a second hello, so the other end has restarted");
      if (this.greeted) this.streams.detached();
      this.streams.reserve(hello.streams ?? 0);
    } else this.answer(hello, sameSession);
    this.hello(hello, sameSession);
  }

  private isAnswer({ answers }: Hello, sameSession: boolean): boolean {
    return sameSession && this.nonce !== undefined && answers === this.nonce;
  }

  private answer({ nonce, mark }: Hello, sameSession: boolean): void {
    const { transport, greeted } = this;
    if (greeted && !sameSession) this.options.onReplaced?.();
    if (greeted && transport !== undefined) {
      this.detach();
      this.transport = transport;
    }
    this.answers = nonce;
    this.mark = mark === undefined ? undefined : markBytes(mark);
    // a transport may hand over two beginnings as one chunk
    this.decoder.skipped = this.mark;
    if (greeted || nonce !== undefined) this.sendHello();
  }

  private hello(hello: Hello, sameSession: boolean): void {
    if (!sameSession) this.forgetPeer(hello.session);
    this.greeted = true;
    this.options.onHello(hello, sameSession);
    this.eventsAcknowledged(hello.eventsHandled);
    this.sender.forgetWaiting();
    for (const [id, { frames, urgent }] of this.pending) this.sender.add(id, frames, urgent);
    for (const event of this.events.values()) this.send(event);
    this.streams.attached();
  }

  private forgetPeer(session: string): void {
    this.peerSession = session;
    this.eventsHandled = 0;
    this.answered.forget();
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
    if (this.answered.again(frame)) return;
    const { op, params, steps } = this.parse(frame);
    if (typeof op !== "string") throw unexpected("a request without an op");
    this.answered.answer(frame.sequence, op, params, steps === true);
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
