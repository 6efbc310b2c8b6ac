/**
 * The streams of a CRI exec or attach, over a WebSocket with the subprotocol v4.channel.k8s.io.
 *
 * A message is one byte of channel number, then data. Channels: 0 stdin, 1 stdout, 2 stderr, 3 the outcome as the JSON
 * of a Kubernetes Status, 4 the terminal's size. The subprotocol cannot end stdin alone: a command that reads to the
 * end of its input needs a terminal and ^D, or a client that speaks SPDY.
 */
import type { Socket } from "node:net";
import type { Readable, Writable } from "node:stream";
import WebSocket from "ws";
import * as z from "zod/mini";
import { type BlazarError, blazarError, reasonOf } from "../../src/contracts/errors.ts";
import { onAbort } from "../../src/lib/async.ts";
import { patient } from "../host/patience.ts";

const SUBPROTOCOL = "v4.channel.k8s.io";
const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
const OUTCOME = 3;
const RESIZE = 4;
/** How long the server may take to accept the connection. */
const HANDSHAKE_TIMEOUT_MS = 10_000;

/** The streams that a remote process is connected to. Output without a stream is dropped; no stream is ended here. */
export interface RemoteStreams {
  readonly stdin?: Readable;
  readonly stdout?: Writable;
  readonly stderr?: Writable;
  /** A terminal on the other side: stdout and stderr come as one. */
  readonly tty?: boolean;
  /** Breaks the connection; the runtime then does to the process what it does when a client is lost. */
  readonly signal?: AbortSignal;
}

export interface RemoteProcess {
  /** Resolves when the process has ended and all of its output has been written. */
  readonly exitCode: Promise<number>;
  /** Sends more input; the streams must have been opened with `stdin`. Resolves when it is sent. */
  write(data: Uint8Array | string): Promise<void>;
  /** Tells the terminal its size. */
  resize(columns: number, rows: number): void;
  /** Breaks the connection. */
  close(): void;
}

/** Connects to containerd's streaming server in another way than by this process's own network. */
export type Dial = (to: { readonly port?: string | number | null | undefined }) => Socket;

type Operation = "exec" | "attach";

/** Opens the URL that CRI's Exec or Attach returned. @throws BlazarError `RemoteUnavailable` */
export async function openRemoteProcess(
  url: string,
  operation: Operation,
  streams: RemoteStreams,
  dial?: Dial,
): Promise<RemoteProcess> {
  const socket = new WebSocket(url.replace(/^http/, "ws"), [SUBPROTOCOL], {
    perMessageDeflate: false,
    handshakeTimeout: patient(HANDSHAKE_TIMEOUT_MS),
    ...(dial === undefined ? {} : { createConnection: dial as never }),
  });
  // listening starts before the handshake ends, or the first output could be missed
  const exitCode = receive(socket, operation, streams);
  exitCode.catch(() => undefined);
  await opened(socket, operation);
  const stopInput = forwardInput(socket, streams.stdin);
  const forget = onAbort(streams.signal, () => socket.terminate());
  socket.once("close", () => {
    stopInput();
    forget();
  });
  return {
    exitCode,
    write: (data) => send(socket, STDIN, Buffer.from(data)),
    resize: (columns, rows) => {
      const size = Buffer.from(JSON.stringify({ Width: columns, Height: rows }));
      send(socket, RESIZE, size).catch(() => undefined);
    },
    close: () => socket.terminate(),
  };
}

function opened(socket: WebSocket, operation: Operation): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once("open", resolve);
    socket.once("error", (cause) => reject(lost(operation, reasonOf(cause), cause)));
  });
}

/** Writes what arrives to its streams; resolves to the exit code at the connection's end. */
function receive(socket: WebSocket, operation: Operation, streams: RemoteStreams): Promise<number> {
  const outputs = new Map([
    [STDOUT, streams.stdout],
    [STDERR, streams.stderr],
  ]);
  const outcome: Buffer[] = [];
  let failure: Error | undefined;
  socket.on("error", (error) => {
    failure = error;
  });
  socket.on("message", (message: WebSocket.RawData) => {
    const bytes = toBuffer(message);
    const channel = bytes[0];
    const data = bytes.subarray(1);
    if (channel === undefined || data.length === 0) return;
    if (channel === OUTCOME) outcome.push(data);
    else writeOutput(socket, outputs.get(channel), data);
  });
  return new Promise((resolve, reject) => {
    socket.on("close", () => {
      if (outcome.length === 0) {
        const reason = failure?.message ?? "the connection ended without an outcome";
        reject(lost(operation, reason, failure));
        return;
      }
      try {
        resolve(exitCodeOf(Buffer.concat(outcome).toString("utf8"), operation));
      } catch (error) {
        reject(error);
      }
    });
  });
}

/** A slow reader slows the sender: the socket rests until the stream has drained. */
function writeOutput(socket: WebSocket, output: Writable | undefined, data: Buffer): void {
  if (output === undefined || output.destroyed || output.write(data)) return;
  socket.pause();
  const resume = (): void => {
    output.off("drain", resume);
    output.off("close", resume);
    socket.resume();
  };
  output.on("drain", resume);
  output.on("close", resume);
}

/** Sends a stream's data until stopped, at the socket's pace. */
function forwardInput(socket: WebSocket, input: Readable | undefined): () => void {
  if (input === undefined) return () => undefined;
  const onData = (chunk: Uint8Array | string): void => {
    input.pause();
    send(socket, STDIN, Buffer.from(chunk)).then(
      () => input.resume(),
      () => undefined,
    );
  };
  input.on("data", onData);
  return () => {
    input.off("data", onData);
    input.pause();
  };
}

function send(socket: WebSocket, channel: number, data: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.send(Buffer.concat([Buffer.of(channel), data]), (error) => {
      if (error === undefined || error === null) resolve();
      else reject(lost("exec", reasonOf(error), error));
    });
  });
}

const Outcome = z.object({
  status: z.optional(z.string()),
  message: z.optional(z.string()),
  reason: z.optional(z.string()),
  details: z.optional(
    z.nullable(
      z.object({
        causes: z.optional(
          z.array(z.object({ reason: z.optional(z.string()), message: z.optional(z.string()) })),
        ),
      }),
    ),
  ),
});

/** Reads the outcome: success, a command that ended with a code, or a failure to run it at all. */
function exitCodeOf(json: string, operation: Operation): number {
  const { status, message, details } = Outcome.parse(JSON.parse(json));
  if (status === "Success") return 0;
  const code = details?.causes?.find(({ reason }) => reason === "ExitCode")?.message;
  if (code !== undefined && /^\d+$/.test(code)) return Number(code);
  throw blazarError("Internal", `${operation} in the container`, message ?? `the runtime reported ${json}`);
}

function toBuffer(message: WebSocket.RawData): Buffer {
  if (Array.isArray(message)) return Buffer.concat(message);
  return Buffer.isBuffer(message) ? message : Buffer.from(message);
}

function lost(operation: Operation, reason: string, cause?: unknown): BlazarError {
  return blazarError("RemoteUnavailable", `${operation} in the container`, reason, {
    subject: "CRI's streaming server",
    cause,
  });
}
