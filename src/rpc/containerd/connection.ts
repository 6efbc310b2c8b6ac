/**
 * The connection to containerd's gRPC socket: calls in one namespace, each with a deadline.
 *
 * Namespace and lease go as metadata (containerd's pkg/namespaces and core/leases, grpc.go). Connects at the first call,
 * and again after each loss. An answer that is an error becomes a BlazarError that names the call.
 */
import { Client, credentials, Metadata } from "@grpc/grpc-js";
import type { Deadlines } from "../../contracts/deadlines.ts";
import { blazarError } from "../../contracts/errors.ts";
import { cancelled } from "../../lib/async.ts";
import { callServerStream } from "../grpc/server-stream.ts";
import { callUnary, type UnaryMethod, type UnaryOptions } from "../grpc/unary.ts";
import { fromStatus, isServiceError } from "../status.ts";

const NAMESPACE_HEADER = "containerd-namespace";
const LEASE_HEADER = "containerd-lease";
const FIRST_RECONNECT_MS = 50;
const LAST_RECONNECT_MS = 1_000;
/** containerd itself sends 16 MB at most, unless it is told otherwise. */
const MOST_ANSWER_BYTES = 64 * 1024 * 1024;

export interface ConnectionOptions {
  /** containerd's gRPC socket, an absolute path. */
  readonly socket: string;
  readonly namespace: string;
  readonly deadlines: Pick<Deadlines, "containerdCall">;
}

export interface CallContext {
  /** Default: the connection's. */
  readonly namespace?: string;
  readonly signal?: AbortSignal | undefined;
  /** The id of the lease that holds what the call makes. */
  readonly lease?: string;
}

export class ContainerdConnection {
  private readonly client: Client;

  constructor(private readonly options: ConnectionOptions) {
    this.client = new Client(`unix:${options.socket}`, credentials.createInsecure(), {
      "grpc.enable_channelz": 0,
      "grpc.max_receive_message_length": MOST_ANSWER_BYTES,
      "grpc.initial_reconnect_backoff_ms": FIRST_RECONNECT_MS,
      "grpc.max_reconnect_backoff_ms": LAST_RECONNECT_MS,
    });
  }

  /** Resolves once there is a connection. Throws RemoteUnavailable if there is none within `ms`. */
  ready(ms: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.client.waitForReady(Date.now() + ms, (cause) => {
        if (cause === undefined) return resolve();
        const about = { subject: this.options.socket, cause };
        reject(blazarError("RemoteUnavailable", "connect to containerd", "it does not answer", about));
      });
    });
  }

  call<Req, Res>(method: UnaryMethod<Req, Res>, request: Req, context: CallContext = {}): Promise<Res> {
    const timeoutMs = this.options.deadlines.containerdCall;
    const run = (options: UnaryOptions) => callUnary(this.client, method, request, options);
    return this.translated(method.path, context, timeoutMs, run);
  }

  /** All messages of an answer that ends. */
  async collect<Req, Res>(method: UnaryMethod<Req, Res>, request: Req, context: CallContext): Promise<Res[]> {
    const messages: Res[] = [];
    const timeoutMs = this.options.deadlines.containerdCall;
    const run = (options: UnaryOptions) =>
      callServerStream(this.client, method, request, (message) => messages.push(message), options);
    await this.translated(method.path, context, timeoutMs, run);
    return messages;
  }

  /** A stream that goes on until it is aborted or containerd ends: the one call without a deadline. */
  follow<Req, Res>(
    method: UnaryMethod<Req, Res>,
    request: Req,
    onMessage: (message: Res) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const run = (options: UnaryOptions) => callServerStream(this.client, method, request, onMessage, options);
    return this.translated(method.path, { signal }, undefined, run);
  }

  /** Calls in flight fail. */
  close(): void {
    this.client.close();
  }

  private async translated<Res>(
    path: string,
    { signal, lease, namespace = this.options.namespace }: CallContext,
    timeoutMs: number | undefined,
    run: (options: UnaryOptions) => Promise<Res>,
  ): Promise<Res> {
    const operation = `call containerd's ${path.slice(path.lastIndexOf(".") + 1).replace("/", ".")}`;
    if (signal?.aborted === true) throw cancelled({ operation });
    const metadata = new Metadata();
    metadata.set(NAMESPACE_HEADER, namespace);
    if (lease !== undefined) metadata.set(LEASE_HEADER, lease);
    try {
      return await run({ metadata, timeoutMs, signal });
    } catch (error) {
      if (!isServiceError(error)) throw error;
      throw fromStatus(error.code, error.details, operation, error);
    }
  }
}
