/**
 * Calls to a ttrpc service, unary only: PROTOCOL.md of containerd/ttrpc.
 *
 * Blazar sends containerd its events this way: a call is one frame each way, a tenth of the cost of gRPC. The connection
 * is made at the first call. When it is lost, calls under way fail with RemoteUnavailable, and the next call makes a new
 * one. Must not repeat a call.
 */
import { connect, type Socket } from "node:net";
import type { BinaryWriter } from "@bufbuild/protobuf/wire";
import { type BlazarError, blazarError, reasonOf } from "../../contracts/errors.ts";
import { Request, Response } from "../generated/ttrpc/ttrpc.ts";
import { fromStatus } from "../status.ts";
import { encodeFrame, FRAME_REQUEST, type Frame, FrameDecoder, type OversizedFrame } from "./codec.ts";

/** A service as ts-proto's generic definitions describe it. */
export interface CalledService {
  readonly fullName: string;
}

/** A method seen from the caller's side. */
export interface CalledMethod<Req, Res> {
  readonly name: string;
  readonly requestType: { encode(message: Req): BinaryWriter };
  readonly responseType: { decode(input: Uint8Array): Res };
}

export interface TtrpcCallOptions {
  readonly metadata?: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
}

interface Pending {
  resolve(payload: Uint8Array): void;
  reject(error: BlazarError): void;
}

/** One connection, and the calls that wait for an answer on it. */
class Connection {
  private readonly socket: Socket;
  private readonly decoder = new FrameDecoder();
  private readonly pending = new Map<number, Pending>();
  private readonly path: string;
  private nextStream = 1;
  private lost: BlazarError | undefined;

  constructor(path: string) {
    this.path = path;
    this.socket = connect(path);
    this.socket.on("data", (chunk) => this.received(chunk));
    this.socket.on("error", (error) => this.end(reasonOf(error), error));
    this.socket.on("close", () => this.end("the connection was closed"));
  }

  get isLost(): boolean {
    return this.lost !== undefined;
  }

  /** Sends a request. `encode` gets the number of its stream. */
  ask(encode: (stream: number) => Uint8Array, timeoutMs: number, operation: string): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      if (this.lost !== undefined) return reject(this.lost);
      const stream = this.nextStream;
      this.nextStream += 2;
      const timer = setTimeout(() => {
        this.pending.delete(stream);
        reject(blazarError("DeadlineExceeded", operation, `no answer within ${timeoutMs} ms`));
      }, timeoutMs);
      const settled = (act: () => void) => {
        clearTimeout(timer);
        act();
      };
      this.pending.set(stream, {
        resolve: (payload) => settled(() => resolve(payload)),
        reject: (error) => settled(() => reject(error)),
      });
      this.socket.write(encode(stream));
    });
  }

  /** Fails the calls under way. Idempotent. */
  end(reason: string, cause?: unknown): void {
    if (this.lost !== undefined) return;
    this.lost = blazarError("RemoteUnavailable", "call over ttrpc", reason, { subject: this.path, cause });
    this.socket.destroy();
    const pending = [...this.pending.values()];
    this.pending.clear();
    for (const { reject } of pending) reject(this.lost);
  }

  private received(chunk: Uint8Array): void {
    try {
      for (const frame of this.decoder.push(chunk)) this.answered(frame);
    } catch (error) {
      this.end(reasonOf(error), error);
    }
  }

  private answered({ streamId, payload }: Frame | OversizedFrame): void {
    const pending = this.pending.get(streamId);
    this.pending.delete(streamId);
    if (payload !== undefined) return pending?.resolve(payload);
    pending?.reject(blazarError("ResourceExhausted", "call over ttrpc", "the answer is too long"));
  }
}

export class TtrpcClient {
  private connection: Connection | undefined;
  private closed = false;

  constructor(private readonly path: string) {}

  /** @throws BlazarError `RemoteUnavailable`, `DeadlineExceeded`, or the status that was answered */
  async call<Req, Res>(
    service: CalledService,
    method: CalledMethod<Req, Res>,
    request: Req,
    { metadata = {}, timeoutMs }: TtrpcCallOptions,
  ): Promise<Res> {
    const operation = `call ${service.fullName}/${method.name}`;
    const message: Request = {
      service: service.fullName,
      method: method.name,
      payload: method.requestType.encode(request).finish(),
      timeoutNano: BigInt(Math.round(timeoutMs * 1e6)),
      metadata: Object.entries(metadata).map(([key, value]) => ({ key, value })),
    };
    const bytes = Request.encode(message).finish();
    const payload = await this.connected().ask(
      (stream) => encodeFrame(stream, FRAME_REQUEST, 0, bytes),
      timeoutMs,
      operation,
    );
    const { status, payload: result } = Response.decode(payload);
    if (status !== undefined && status.code !== 0) throw fromStatus(status.code, status.message, operation);
    return method.responseType.decode(result);
  }

  /** Fails the calls under way and all later ones. */
  close(): void {
    this.closed = true;
    this.connection?.end("the client was closed");
  }

  private connected(): Connection {
    if (this.closed) throw blazarError("Cancelled", "call over ttrpc", "the client was closed");
    if (this.connection === undefined || this.connection.isLost) this.connection = new Connection(this.path);
    return this.connection;
  }
}
