/**
 * Answers ttrpc requests: one whole request message in, one whole response message out.
 *
 * Follows PROTOCOL.md of containerd/ttrpc, unary calls only. Must not know a transport: the keeper holds containerd's
 * connections and relays messages. Calls run side by side, so a Wait delays nobody. Every readable request gets
 * exactly one answer. That holds after its deadline and after the end of its connection, even if its method lingers.
 */
import { BlazarError, blazarError, reasonOf } from "../../contracts/errors.ts";
import type { Logger } from "../../contracts/logger.ts";
import { Request, Response } from "../generated/ttrpc/ttrpc.ts";
import { PendingCall } from "../pending-call.ts";
import { toTtrpcStatus } from "../status.ts";
import {
  decodeHeader,
  encodeFrame,
  FLAG_REMOTE_OPEN,
  FRAME_REQUEST,
  FRAME_RESPONSE,
  type FrameHeader,
  HEADER_BYTES,
  MAX_MESSAGE_BYTES,
} from "./codec.ts";
import type { BoundMethod, TtrpcCall, TtrpcService } from "./service.ts";

/** Room that the Response message needs around its payload. */
const RESPONSE_OVERHEAD_BYTES = 64;
/** The longest delay that setTimeout takes. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Where a message came from. */
export interface MessageContext {
  /** The connection's number, for the log. */
  readonly connection: number;
  /** Aborts when the connection is gone. */
  readonly signal: AbortSignal;
  /** An earlier daemon may have worked on it. Default: no. */
  readonly replayed?: boolean | undefined;
}

/** Finds the method of each request in a table of services, and answers with what it returns or throws. */
export class TtrpcDispatcher {
  private readonly services: ReadonlyMap<string, ReadonlyMap<string, BoundMethod>>;
  private readonly logger: Logger;

  constructor(services: readonly TtrpcService[], logger: Logger) {
    this.services = new Map(
      services.map(({ name, methods }) => [name, new Map(methods.map((method) => [method.name, method]))]),
    );
    this.logger = logger;
  }

  /**
   * Answers one message (header included) with one message (header included).
   * @throws BlazarError `FrameMalformed` if not even its stream can be read: close the connection
   */
  async handleMessage(raw: Uint8Array, context: MessageContext): Promise<Uint8Array> {
    const header = decodeHeader(raw);
    try {
      const request = readRequest(header, raw.subarray(HEADER_BYTES));
      const payload = await this.call(request, header.streamId, context);
      if (payload.length > MAX_MESSAGE_BYTES - RESPONSE_OVERHEAD_BYTES) throw answerTooLong(payload.length);
      return respond(header.streamId, { status: undefined, payload });
    } catch (error) {
      return respond(header.streamId, { status: toTtrpcStatus(error), payload: new Uint8Array(0) });
    }
  }

  private async call(request: Request, stream: number, context: MessageContext): Promise<Uint8Array> {
    const method = this.find(request.service, request.method);
    const scope = new CallScope(request.timeoutNano, context.signal, request.method);
    try {
      const call: TtrpcCall = {
        connection: context.connection,
        stream,
        replayed: context.replayed === true,
        get signal() {
          return scope.signal;
        },
        metadata: new Map(request.metadata.map(({ key, value }) => [key.toLowerCase(), value])),
      };
      return await Promise.race([method.invoke(request.payload, call), scope.ended]);
    } catch (error) {
      this.logFailure(error, request, context);
      throw error;
    } finally {
      scope.close();
    }
  }

  private find(service: string, method: string): BoundMethod {
    const methods = this.services.get(service);
    const found = methods?.get(method);
    if (found !== undefined) return found;
    const reason = methods === undefined ? "there is no such service here" : "the service has no such method";
    throw blazarError("Unimplemented", "answer a ttrpc call", reason, { subject: `${service}/${method}` });
  }

  private logFailure(error: unknown, request: Request, { connection }: MessageContext): void {
    const fields = { method: request.method, connection, err: error };
    if (error instanceof BlazarError) this.logger.debug(fields, "a ttrpc call failed");
    else this.logger.error(fields, "a ttrpc call failed unexpectedly");
  }
}

/**
 * Joins a call's deadline and the end of its connection.
 *
 * By hand and not with lib/async.ts: every call of every pod's start passes here, and this makes one closure, one promise
 * and, where there is a deadline, one timer. AbortSignal.any is missing in Node 20.0.
 */
class CallScope {
  /** Rejects when the call is given up. */
  readonly ended: Promise<never>;
  private reject: (reason: Error) => void = () => undefined;
  private readonly pending = new PendingCall();
  private timer: NodeJS.Timeout | undefined;
  private readonly connection: AbortSignal;
  private readonly method: string;

  constructor(timeoutNano: bigint, connection: AbortSignal, method: string) {
    this.connection = connection;
    this.method = method;
    this.ended = new Promise((_, reject) => {
      this.reject = reject;
    });
    // nobody may be listening any more when this rejects
    this.ended.catch(() => undefined);
    if (connection.aborted) this.closed();
    else connection.addEventListener("abort", this.closed, { once: true });
    const timeoutMs = Math.min(Number(timeoutNano) / 1e6, MAX_TIMER_MS);
    if (timeoutMs > 0) this.timer = setTimeout(() => this.late(timeoutMs), timeoutMs);
  }

  /** Aborts when the call is given up. */
  get signal(): AbortSignal {
    return this.pending.signal;
  }

  close(): void {
    clearTimeout(this.timer);
    this.connection.removeEventListener("abort", this.closed);
  }

  private readonly closed = (): void => this.giveUp("Cancelled", "the connection was closed");

  private late(timeoutMs: number): void {
    this.giveUp("DeadlineExceeded", `its deadline of ${timeoutMs} ms has passed`);
  }

  private giveUp(code: "Cancelled" | "DeadlineExceeded", reason: string): void {
    const error = blazarError(code, "answer a ttrpc call", reason, { subject: this.method });
    this.pending.giveUp(error);
    this.reject(error);
  }
}

function readRequest(header: FrameHeader, payload: Uint8Array): Request {
  if (header.length > MAX_MESSAGE_BYTES) {
    throw refuse("ResourceExhausted", `${header.length} bytes, ttrpc allows ${MAX_MESSAGE_BYTES}`);
  }
  if (payload.length !== header.length) {
    throw refuse("FrameMalformed", `the header says ${header.length} bytes, ${payload.length} came`);
  }
  if (header.streamId % 2 !== 1) throw refuse("InvalidArgument", "a client's streams have odd numbers");
  if (header.type !== FRAME_REQUEST) {
    throw refuse("InvalidArgument", `type ${header.type} does not open a stream`);
  }
  if ((header.flags & FLAG_REMOTE_OPEN) !== 0)
    throw refuse("Unimplemented", "streaming calls are not served");
  try {
    return Request.decode(payload);
  } catch (cause) {
    throw refuse("InvalidArgument", `it is not a ttrpc request: ${reasonOf(cause)}`, cause);
  }
}

function respond(streamId: number, response: Response): Uint8Array {
  return encodeFrame(streamId, FRAME_RESPONSE, 0, Response.encode(response).finish());
}

function answerTooLong(length: number): BlazarError {
  const reason = `the answer has ${length} bytes, ttrpc allows ${MAX_MESSAGE_BYTES}`;
  return blazarError("ResourceExhausted", "answer a ttrpc call", reason);
}

function refuse(
  code: "ResourceExhausted" | "FrameMalformed" | "InvalidArgument" | "Unimplemented",
  reason: string,
  cause?: unknown,
): BlazarError {
  return blazarError(code, "take a ttrpc message", reason, { cause });
}
