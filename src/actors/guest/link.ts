/**
 * The daemon's end of the link to one guest's agent, on top of a VM's byte link.
 *
 * Owns the Peer of one VM: requests with a deadline and an abort signal, events as a stream, allotment of stream
 * ids. Everything a guest says is checked before it goes further, because the guest is hostile: a violation of
 * the protocol closes this link, and with it the sandbox, and touches no other.
 */
import { Observable, Subject } from "rxjs";
import { type BlazarError, blazarError, reasonOf } from "../../contracts/errors.ts";
import { NO_HISTORY, type SandboxHistory, type Span } from "../../contracts/history.ts";
import type { HistoryEntry } from "../../contracts/inspection.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { ByteLink, LogEnd } from "../../contracts/vm.ts";
import { deferred, onAbort } from "../../lib/async.ts";
import { cutText } from "../../lib/cut-text.ts";
import { clearDeadline, setDeadline } from "../../lib/deadline-timer.ts";
import {
  GUEST_EVENTS,
  GUEST_ITSELF,
  GUEST_PROTOCOL_MINOR,
  GUEST_REQUESTS,
  GUEST_STEPS,
  type GuestHello,
  type GuestOp,
  type GuestParams,
  type GuestResult,
  guestHello,
  type ProcessExited,
} from "../../protocol/guest/messages.ts";
import { encodeFrame, FrameType, GUEST_MAX_FRAME_BYTES } from "../../protocol/wire/frame.ts";
import { type Hello, markOf } from "../../protocol/wire/hello.ts";
import type { TextCodec } from "../../protocol/wire/json.ts";
import { Peer, type StreamHandler } from "../../protocol/wire/peer.ts";
import type { RequestStep } from "../../protocol/wire/request-steps.ts";
import { type GuestEvent, UnheardEvents } from "./guest-events.ts";
import { GuestLog } from "./guest-log.ts";
import { Intake } from "./intake.ts";

const TALK = "talk to the guest";

/** The link was closed at its far end, which a VMM does that ends. */
export function isLinkClosed({ details }: BlazarError): boolean {
  return details.operation === TALK;
}

/** Bytes of all links of the daemon; they only grow. */
export interface GuestTraffic {
  received: number;
  sent: number;
  /** For how many milliseconds links were not read because their guests took too much time (intake.ts), by sandbox that lives. */
  readonly heldMs: Map<string, number>;
}

export interface GuestLinkOptions {
  /** Whose guest it is, for messages. */
  readonly sandboxId: string;
  /** Identifies this life of the daemon to the agent. */
  readonly session: string;
  readonly text: TextCodec;
  readonly logger: Logger;
  /** Where this link's bytes are counted, too; default: nowhere. */
  readonly traffic?: GuestTraffic | undefined;
  /** What is told of requests; default: nothing. */
  readonly history?: SandboxHistory;
  /** {@link GuestLink.mark} of an earlier daemon, whose guest is taken over. */
  readonly mark?: string | undefined;
}

/** Asked again and again by kubelet, also of a pod that does nothing. */
const UNTOLD: ReadonlySet<GuestOp> = new Set(["container.stats", "container.pids"]);

/** They wait for no request that they could depend on, and somebody waits for them who gives the guest up. */
const URGENT: ReadonlySet<GuestOp> = new Set(["process.signal", "process.abandon", "sandbox.shutdown"]);

/** So long an agent is left alone that has said hello and has not answered. */
const GREET_AGAIN_MS = 300;
const MAX_GREETINGS = 20;
/** A guest that floods is told of so often. */
const TELL_HELD_MS = 60_000;

/** A live link to a guest. */
export class GuestLink {
  private readonly subject = new Subject<GuestEvent>();
  private readonly unheard = new UnheardEvents();
  private readonly peer: Peer;
  private lost: BlazarError | undefined;
  private readonly taken = new GuestLog();
  private greeted: ((hello: GuestHello) => void) | undefined;
  private refused: ((error: BlazarError) => void) | undefined;
  private greetings = 0;
  private toldHeldAt = Number.NEGATIVE_INFINITY;
  /**
   * What a later daemon needs to take over the guest, in whatever state this one leaves the link. It is a secret between
   * daemon and agent.
   */
  readonly mark: string;
  /** What the agent said of itself; rejects when the link is lost before. */
  readonly hello: Promise<GuestHello>;
  /** The guest's events, first those that nobody has heard yet; completes after `lost`. */
  readonly events$ = new Observable<GuestEvent>((subscriber) => {
    const { lost } = this;
    for (const event of this.unheard.take()) subscriber.next(event);
    if (lost === undefined) return this.subject.subscribe(subscriber);
    subscriber.next({ type: "lost", error: lost });
    subscriber.complete();
    return undefined;
  });

  private readonly gone = deferred<void>();
  private owner: Pick<GuestLinkOptions, "sandboxId" | "logger">;
  private history: SandboxHistory;
  private readonly traffic: GuestTraffic;

  constructor(
    private readonly link: ByteLink,
    options: GuestLinkOptions,
  ) {
    this.owner = options;
    this.history = options.history ?? NO_HISTORY;
    this.traffic = options.traffic ?? { received: 0, sent: 0, heldMs: new Map() };
    this.mark = options.mark ?? markOf(secret());
    this.hello = new Promise((resolve, reject) => {
      this.greeted = resolve;
      this.refused = reject;
    });
    this.hello.catch(() => undefined);
    this.peer = new Peer({
      session: options.session,
      text: options.text,
      maxFrameBytes: GUEST_MAX_FRAME_BYTES,
      ownsStreams: true,
      minor: GUEST_PROTOCOL_MINOR,
      beginning: {
        nonce: secret,
        mark: this.mark,
        marked: options.mark !== undefined,
        onUnanswered: () => this.greetAgain(),
      },
      helloBody: () => ({ role: "host" }),
      onHello: (hello) => this.onHello(hello),
      onRequest: (op) =>
        Promise.reject(this.error("Unimplemented", `answer ${op}`, "a guest may not ask the host")),
      onEvent: (event, params) => this.onEvent(event, params),
      onViolation: (error) => this.close(error),
    });
    const { traffic } = this;
    const intake = new Intake({ link, onHeld: (ms) => this.held(ms) });
    link.open({
      onData: (bytes) => {
        traffic.received += bytes.length;
        intake.take(() => this.peer.receive(bytes));
      },
      onDrain: () => this.peer.drained(),
      onClose: (error) => {
        intake.end();
        traffic.heldMs.delete(this.owner.sandboxId);
        this.gone.resolve();
        this.close(this.error("GuestLost", TALK, error ? reasonOf(error) : "its agent's link was closed"));
      },
    });
    this.peer.attach((frame) => {
      traffic.sent += frame.length;
      return this.link.write(frame) ? undefined : "wait";
    });
  }

  /** Resolves when the link is gone at both ends, so that the guest's port takes another one. */
  get ended(): Promise<void> {
    return this.gone.promise;
  }

  /** True until the link is lost or closed. */
  get alive(): boolean {
    return this.lost === undefined;
  }

  /**
   * Asks the agent and waits for its checked answer.
   * @throws BlazarError what the agent says, GuestLost, DeadlineExceeded after `deadlineMs`, Cancelled by `signal`
   */
  async request<Op extends GuestOp>(
    op: Op,
    params: GuestParams<Op>,
    limits: { readonly deadlineMs: number; readonly signal?: AbortSignal | undefined },
  ): Promise<GuestResult<Op>> {
    if (this.lost !== undefined) throw this.lost;
    if (limits.signal?.aborted) throw this.error("Cancelled", `ask for ${op}`, "the caller has given up");
    const span = isTold(op, params) ? this.history.step(`guest ${op}`, chartOf(op, params)) : undefined;
    const { id, result } = this.peer.request(op, params, partsOf(span, op), URGENT.has(op));
    const overdue = () =>
      this.peer.abandon(
        id,
        this.error("DeadlineExceeded", `ask for ${op}`, `no answer within ${limits.deadlineMs} ms`),
      );
    const giveUp = () =>
      this.peer.abandon(id, this.error("Cancelled", `ask for ${op}`, "the caller has given up"));
    const timer = setDeadline(overdue, limits.deadlineMs);
    const forget = onAbort(limits.signal, giveUp);
    try {
      const answer = GUEST_REQUESTS[op].result(await result, op) as GuestResult<Op>;
      span?.end();
      return answer;
    } catch (error) {
      span?.end(error);
      throw error;
    } finally {
      clearDeadline(timer);
      forget();
    }
  }

  /** From now on errors and the guest's log lines name this sandbox. */
  belongsTo(sandboxId: string, logger: Logger): void {
    this.traffic.heldMs.delete(this.owner.sandboxId);
    this.owner = { sandboxId, logger };
  }

  /** From now on requests are told as steps of this history. */
  tells(history: SandboxHistory): void {
    this.history = history;
  }

  /** A stream id that no daemon has used on this link. */
  allotStream(): number {
    return this.peer.allotStream();
  }

  openStream(id: number, handler: StreamHandler): void {
    this.peer.openStream(id, handler);
  }

  closeStream(id: number): void {
    this.peer.closeStream(id);
  }

  /** Puts an encoded frame of a stream on the link. */
  sendFrame(frame: Uint8Array): void {
    this.peer.send(frame);
  }

  sendData(stream: number, offset: number, bytes: Uint8Array): void {
    this.peer.send(encodeFrame(FrameType.Data, stream, offset, bytes));
  }

  sendEnd(stream: number, offset: number): void {
    this.peer.send(encodeFrame(FrameType.Eof, stream, offset));
  }

  /** Gives the link up; idempotent. Open requests fail with `error`, which is also the last event. */
  close(
    error: BlazarError = this.error("GuestLost", "reach the guest", "the link was closed by the daemon"),
  ): void {
    if (this.lost !== undefined) return;
    this.lost = error;
    this.peer.close(error);
    this.refused?.(error);
    this.link.close();
    this.subject.next({ type: "lost", error });
    this.subject.complete();
  }

  /** The agent may have dropped this end's hello with what an earlier daemon has left on the link. */
  private greetAgain(): void {
    if (this.greetings >= MAX_GREETINGS) return;
    this.greetings++;
    const timer = setTimeout(() => this.peer.greetAgain(), GREET_AGAIN_MS);
    timer.unref?.();
  }

  private onHello(hello: Hello): void {
    this.greeted?.(guestHello(hello.body, "hello"));
  }

  private onEvent(event: string, params: unknown): void {
    switch (event) {
      case "process.exited":
        return this.tell({ type: "processExited", exit: exitOf(GUEST_EVENTS[event](params, event)) });
      case "container.oomKilled":
        return this.tell({ type: "oomKilled", id: GUEST_EVENTS[event](params, event).id });
      case "agent.log":
        return this.taken.take(GUEST_EVENTS[event](params, event), this.owner.logger);
      default:
        throw this.error("FrameUnexpected", "read an event", `unknown event ${cutText(event, 64)}`);
    }
  }

  private tell(event: GuestEvent): void {
    if (this.subject.observed) return this.subject.next(event);
    this.unheard.add(event);
  }

  /** It is told at first, and then once a minute. */
  private held(ms: number): void {
    const { sandboxId, logger } = this.owner;
    const { heldMs } = this.traffic;
    const all = (heldMs.get(sandboxId) ?? 0) + ms;
    heldMs.set(sandboxId, all);
    if (performance.now() - this.toldHeldAt < TELL_HELD_MS) return;
    this.toldHeldAt = performance.now();
    const remedy = "look at what the pod runs: an agent that is not attacked sends far less";
    logger.warn({ heldMs: all, remedy }, "the guest keeps the daemon busy: its link is read less often");
  }

  /** What the agent has logged over this link. */
  get log(): LogEnd {
    return this.taken.end;
  }

  private error(
    code: "Unimplemented" | "GuestLost" | "DeadlineExceeded" | "Cancelled" | "FrameUnexpected",
    operation: string,
    reason: string,
  ): BlazarError {
    return blazarError(code, operation, reason, { subject: this.owner.sandboxId });
  }
}

/** What was checked, and nothing of what else the guest has put beside it: events are kept. */
function exitOf({ id, execId, status, returned }: ProcessExited): ProcessExited {
  return { id, execId, status, returned: returned.map(({ name, content }) => ({ name, content })) };
}

/** 128 random bits in hex. */
function secret(): string {
  return globalThis.crypto.randomUUID().replaceAll("-", "");
}

/** What takes the steps in which a guest says to have answered: known ones, within the time that the request took. */
function partsOf(span: Span | undefined, op: GuestOp): ((steps: readonly RequestStep[]) => void) | undefined {
  const known: readonly string[] | undefined = GUEST_STEPS[op];
  if (span === undefined || span.id === 0 || known === undefined) return undefined;
  const asked = performance.now();
  return (steps) => {
    const took = performance.now() - asked;
    for (const { name, fromMs, ms } of steps) {
      const from = Math.min(fromMs, took);
      if (known.includes(name)) span.part(`guest ${name}`, from, Math.min(ms, took - from));
    }
  };
}

/** What operators run in the guest itself is no part of the pod's history, and must not push anything out of it. */
function isTold(op: GuestOp, params: object): boolean {
  return !UNTOLD.has(op) && !("id" in params && params.id === GUEST_ITSELF);
}

/** The container or process that a request is about. */
function chartOf(op: GuestOp, params: object): HistoryEntry["chart"] {
  const { id, execId } = params as { readonly id?: unknown; readonly execId?: unknown };
  if (typeof id !== "string") return undefined;
  if (op.startsWith("container.")) return `container/${id}`;
  return op.startsWith("process.") ? `process/${id}/${typeof execId === "string" ? execId : ""}` : undefined;
}
