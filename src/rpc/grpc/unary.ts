/**
 * One unary gRPC call as a promise.
 *
 * Takes ts-proto's method definitions, so that no client class has to be generated and bundled.
 * Rejects with grpc-js's ServiceError; the caller translates it by `rpc/status.ts`.
 */
import { type CallOptions, type Client, Metadata } from "@grpc/grpc-js";
import { onAbort } from "../../lib/async.ts";

/** A method of a generated service definition. */
export interface UnaryMethod<Req, Res> {
  readonly path: string;
  readonly requestSerialize: (value: Req) => Buffer;
  readonly responseDeserialize: (value: Buffer) => Res;
}

export interface UnaryOptions {
  readonly metadata?: Metadata | undefined;
  /** How long the call may take; without it, for ever. */
  readonly timeoutMs?: number | undefined;
  /** Cancels the call. */
  readonly signal?: AbortSignal | undefined;
}

export function callUnary<Req, Res>(
  client: Client,
  method: UnaryMethod<Req, Res>,
  request: Req,
  { metadata = new Metadata(), timeoutMs, signal }: UnaryOptions = {},
): Promise<Res> {
  return new Promise((resolve, reject) => {
    const options: CallOptions = timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
    let forget = (): void => undefined;
    const call = client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      metadata,
      options,
      (error, response) => {
        forget();
        if (error !== null) reject(error);
        else if (response === undefined) reject(new Error(`${method.path} succeeded without an answer`));
        else resolve(response);
      },
    );
    forget = onAbort(signal, () => call.cancel());
  });
}
