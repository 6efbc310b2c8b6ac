/**
 * Serves a dispatcher on a unix socket of its own: for tests, benchmarks and use without a keeper.
 *
 * On a node the keeper holds containerd's Task connections, because they must outlive the daemon. An error of one
 * connection touches no other one. A peer that does not speak ttrpc loses its connection; the pending calls of a
 * connection that closes are aborted.
 */
import { createServer, type Server, type Socket } from "node:net";
import { blazarError } from "../../contracts/errors.ts";
import type { Logger } from "../../contracts/logger.ts";
import { type BoundSocket, bindUnixSocket } from "../../lib/sockets/unix-listener.ts";
import { Response } from "../generated/ttrpc/ttrpc.ts";
import { toTtrpcStatus } from "../status.ts";
import {
  encodeFrame,
  FRAME_RESPONSE,
  type Frame,
  FrameDecoder,
  MAX_MESSAGE_BYTES,
  type OversizedFrame,
} from "./codec.ts";
import type { TtrpcDispatcher } from "./dispatcher.ts";

export class TtrpcServer {
  private readonly dispatcher: TtrpcDispatcher;
  private readonly logger: Logger;
  private readonly server: Server;
  private readonly connections = new Set<Socket>();
  private socket: BoundSocket | undefined;
  private nextConnection = 1;

  constructor(dispatcher: TtrpcDispatcher, logger: Logger) {
    this.dispatcher = dispatcher;
    this.logger = logger;
    this.server = createServer((socket) => this.serve(socket));
  }

  /** Listens on a unix socket of mode 0600. @throws BlazarError `HostResource` */
  async listen(path: string): Promise<void> {
    this.socket = await bindUnixSocket(path, (privatePath) => {
      return new Promise((resolve, reject) => {
        this.server.once("error", reject);
        this.server.listen(privatePath, () => {
          this.server.off("error", reject);
          resolve();
        });
      });
    });
  }

  /** Closes the socket and every connection; their pending calls are aborted. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.server.close(() => resolve());
    });
    for (const socket of this.connections) socket.destroy();
    await closed;
    await this.socket?.remove();
  }

  private serve(socket: Socket): void {
    const connection = this.nextConnection++;
    const logger = this.logger.child({ connection });
    const gone = new AbortController();
    const decoder = new FrameDecoder();
    this.connections.add(socket);
    socket.on("error", (err) => logger.debug({ err }, "a ttrpc connection failed"));
    socket.on("close", () => {
      this.connections.delete(socket);
      gone.abort();
    });
    socket.on("data", (chunk) => {
      try {
        for (const frame of decoder.push(chunk)) void this.answer(frame, socket, connection, gone.signal);
      } catch (err) {
        logger.warn({ err }, "closing a connection that does not speak ttrpc");
        socket.destroy();
      }
    });
  }

  private async answer(
    frame: Frame | OversizedFrame,
    socket: Socket,
    connection: number,
    signal: AbortSignal,
  ): Promise<void> {
    const response =
      frame.payload === undefined
        ? refuseOversized(frame)
        : await this.dispatcher.handleMessage(
            encodeFrame(frame.streamId, frame.type, frame.flags, frame.payload),
            { connection, signal },
          );
    if (socket.writable) socket.write(response);
  }
}

function refuseOversized({ streamId, length }: OversizedFrame): Uint8Array {
  const reason = `${length} bytes, ttrpc allows ${MAX_MESSAGE_BYTES}`;
  const error = blazarError("ResourceExhausted", "take a ttrpc message", reason);
  const response = { status: toTtrpcStatus(error), payload: new Uint8Array(0) };
  return encodeFrame(streamId, FRAME_RESPONSE, 0, Response.encode(response).finish());
}
