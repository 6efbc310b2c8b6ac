/**
 * A ttrpc client for tests: it calls as containerd does, with concurrent calls on one connection.
 *
 * A failed call rejects with a TtrpcError that has the status code.
 */
import { connect, type Socket } from "node:net";
import type { BinaryWriter } from "@bufbuild/protobuf/wire";
import { type Deferred, deferred } from "../../src/lib/async.ts";
import { Request, Response } from "../../src/rpc/generated/ttrpc/ttrpc.ts";
import { encodeFrame, FRAME_REQUEST, FrameDecoder } from "../../src/rpc/ttrpc/codec.ts";

/** The server answered with a status instead of a result. */
class TtrpcError extends Error {
  override readonly name = "TtrpcError";
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** A method seen from the caller's side. */
export interface CalledMethod<Req, Res> {
  readonly name: string;
  readonly requestType: { encode(message: Req): BinaryWriter };
  readonly responseType: { decode(input: Uint8Array): Res };
}

export interface TtrpcCallOptions {
  readonly metadata?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

/** The bytes of one request message. */
export function encodeRequest<Req>(
  streamId: number,
  service: string,
  method: CalledMethod<Req, unknown>,
  request: Req,
  options: TtrpcCallOptions = {},
): Uint8Array {
  const message: Request = {
    service,
    method: method.name,
    payload: method.requestType.encode(request).finish(),
    timeoutNano: BigInt(Math.round((options.timeoutMs ?? 0) * 1e6)),
    metadata: Object.entries(options.metadata ?? {}).map(([key, value]) => ({ key, value })),
  };
  return encodeFrame(streamId, FRAME_REQUEST, 0, Request.encode(message).finish());
}

/** The result in a response's payload. @throws TtrpcError if the status is not OK */
export function decodeResponse<Res>(method: CalledMethod<never, Res>, payload: Uint8Array): Res {
  const { status, payload: result } = Response.decode(payload);
  if (status !== undefined && status.code !== 0) throw new TtrpcError(status.code, status.message);
  return method.responseType.decode(result);
}

export class TtrpcClient {
  private readonly socket: Socket;
  private readonly service: string;
  private readonly pending = new Map<number, Deferred<Uint8Array>>();
  private nextStream = 1;

  constructor(path: string, service: string) {
    this.service = service;
    this.socket = connect(path);
    const decoder = new FrameDecoder();
    this.socket.on("data", (chunk) => {
      for (const frame of decoder.push(chunk)) {
        const pending = this.pending.get(frame.streamId);
        this.pending.delete(frame.streamId);
        if (frame.payload !== undefined) pending?.resolve(frame.payload);
      }
    });
    this.socket.on("error", () => undefined);
    this.socket.on("close", () => {
      for (const { reject } of this.pending.values()) reject(new Error("the connection was closed"));
      this.pending.clear();
    });
  }

  async call<Req, Res>(
    method: CalledMethod<Req, Res>,
    request: Req,
    options: TtrpcCallOptions = {},
  ): Promise<Res> {
    const streamId = this.nextStream;
    this.nextStream += 2;
    const answer = this.raw(streamId, encodeRequest(streamId, this.service, method, request, options));
    return decodeResponse(method, await answer);
  }

  /** Sends bytes as they are, and resolves to the answer on the stream they name. */
  raw(streamId: number, bytes: Uint8Array): Promise<Uint8Array> {
    const answer = deferred<Uint8Array>();
    this.pending.set(streamId, answer);
    this.socket.write(bytes);
    return answer.promise;
  }

  close(): void {
    this.socket.destroy();
  }
}
