/**
 * One gRPC call that is answered by a stream of messages.
 *
 * Takes ts-proto's method definitions, as unary.ts does. Rejects with grpc-js's ServiceError; the caller translates it
 * by `rpc/status.ts`. Must not keep messages: each goes to the caller as it comes.
 */
import { type CallOptions, type Client, Metadata } from "@grpc/grpc-js";
import { onAbort } from "../../lib/async.ts";
import type { UnaryMethod, UnaryOptions } from "./unary.ts";

/** Resolves when the server ends the stream in order. */
export function callServerStream<Req, Res>(
  client: Client,
  method: UnaryMethod<Req, Res>,
  request: Req,
  onMessage: (message: Res) => void,
  { metadata = new Metadata(), timeoutMs, signal }: UnaryOptions = {},
): Promise<void> {
  return new Promise((resolve, reject) => {
    const options: CallOptions = timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs };
    const { path, requestSerialize, responseDeserialize } = method;
    const call = client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      metadata,
      options,
    );
    const forget = onAbort(signal, () => call.cancel());
    call.on("data", onMessage);
    call.on("error", (error) => {
      forget();
      reject(error);
    });
    call.on("end", () => {
      forget();
      resolve();
    });
  });
}
