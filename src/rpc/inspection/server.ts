/**
 * The inspection socket: gRPC and plain HTTP/1.1 on one unix socket of mode 0600.
 *
 * Looks at the first bytes of a connection: HTTP/2 begins with `PRI ` (RFC 9113, section 3.4) and goes to grpc-js, the rest to
 * Node's http, so that `curl --unix-socket … http://localhost/metrics` works. service.ts has the calls.
 */
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer, type Server as NetServer, type Socket } from "node:net";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { reasonOf } from "../../contracts/errors.ts";
import type { Inspection } from "../../contracts/inspection.ts";
import type { Logger } from "../../contracts/logger.ts";
import { KeptSocket } from "../../lib/sockets/kept-socket.ts";
import { InspectionService } from "../generated/blazar/inspection/v1/inspection.ts";
import type { DrainHandlers } from "./drain.ts";
import type { ReconcileHandler } from "./reconcile.ts";
import { createInspectionService, type ExecHandler } from "./service.ts";

/** A page that is served to HTTP clients. */
export interface HttpPage {
  readonly contentType: string;
  readonly text: string;
}

export interface InspectionServerOptions {
  readonly inspection: Inspection;
  readonly logger: Logger;
  /** Serves Exec. Default: it is not offered. */
  readonly exec?: ExecHandler;
  /** Serve Drain and Undrain. Default: they are not offered. */
  readonly drain?: DrainHandlers;
  /** Serves Reconcile. Default: it is not offered. */
  readonly reconcile?: ReconcileHandler;
  /** What is served to HTTP/1.1, by path, such as `/metrics`. Default: nothing. */
  readonly pages?: Readonly<Record<string, () => HttpPage | Promise<HttpPage>>>;
}

const HTTP2_START = "PRI";
/** Connections at once. A command has one, and so has `blazar ui`. */
const MOST_CONNECTIONS = 128;
/** Calls at once on one of them; a client lets others wait. */
const MOST_CALLS = 128;
/** A gRPC connection without a call is ended after so long: its client connects again when it needs to. */
const UNUSED_MS = 60_000;
/** So often it is logged that connections are refused. */
const COMPLAINT_MS = 60_000;
/** A connection has so long to say what it speaks. */
const FIRST_BYTES_MS = 5_000;
/** An HTTP client that neither asks nor reads for so long is cut off. */
const IDLE_MS = 10_000;

export class InspectionServer {
  private readonly grpc = new Server({
    "grpc.enable_channelz": 0,
    "grpc.max_concurrent_streams": MOST_CALLS,
    "grpc.max_connection_idle_ms": UNUSED_MS,
  });
  private readonly http = createHttpServer((request, response) => void this.serve(request, response));
  private readonly injector = this.grpc.createConnectionInjector(ServerCredentials.createInsecure());
  private listener: NetServer | undefined;
  private readonly connections = new Set<Socket>();
  private socket: KeptSocket | undefined;
  private complained = Number.NEGATIVE_INFINITY;

  constructor(private readonly options: InspectionServerOptions) {
    const { inspection, exec, drain, reconcile } = options;
    this.grpc.addService(InspectionService, createInspectionService(inspection, exec, drain, reconcile));
    this.http.headersTimeout = IDLE_MS;
    this.http.requestTimeout = IDLE_MS;
    this.http.setTimeout(IDLE_MS, (connection) => connection.destroy());
  }

  /** Listens on `path`, replacing a dead daemon's socket, from now on. @throws BlazarError `HostResource` */
  async listen(path: string): Promise<void> {
    const listen = (privatePath: string) =>
      new Promise<() => void>((resolve, reject) => {
        const listener = createServer((connection) => this.accept(connection));
        listener.once("error", reject);
        listener.listen(privatePath, () => {
          listener.removeListener("error", reject);
          this.listener = listener;
          resolve(() => listener.close());
        });
      });
    const socket = new KeptSocket(path, listen, this.options.logger);
    await socket.open();
    this.socket = socket;
  }

  /** Ends at once; nobody's answer matters. */
  async close(): Promise<void> {
    await this.socket?.remove();
    this.listener?.close();
    this.injector.destroy();
    this.grpc.forceShutdown();
    for (const connection of this.connections) connection.destroy();
  }

  private accept(connection: Socket): void {
    if (this.connections.size >= MOST_CONNECTIONS) return this.refuse(connection);
    this.connections.add(connection);
    connection.once("close", () => this.connections.delete(connection));
    // a peer that resets its connection must not end the daemon
    connection.on("error", () => connection.destroy());
    const silence = setTimeout(() => connection.destroy(), FIRST_BYTES_MS);
    connection.once("close", () => clearTimeout(silence));
    let first: Buffer = Buffer.alloc(0);
    const look = (): void => {
      const bytes: Buffer | null = connection.read();
      if (bytes === null) return;
      first = Buffer.concat([first, bytes]);
      if (first.length < HTTP2_START.length) return;
      clearTimeout(silence);
      connection.removeListener("readable", look);
      // once only: what is put back is readable at once
      connection.unshift(first);
      if (first.toString("latin1", 0, HTTP2_START.length) === HTTP2_START)
        this.injector.injectConnection(connection);
      else this.http.emit("connection", connection);
    };
    connection.on("readable", look);
  }

  private refuse(connection: Socket): void {
    connection.destroy();
    if (performance.now() - this.complained < COMPLAINT_MS) return;
    this.complained = performance.now();
    const most = MOST_CONNECTIONS;
    this.options.logger.warn(
      { most },
      "the inspection socket has as many connections as it may; more are refused",
    );
  }

  private async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // not by URL, which throws at some of what a client may send
    const [pathname = "/"] = (request.url ?? "/").split("?");
    const pages = this.options.pages ?? {};
    const page = Object.hasOwn(pages, pathname) ? pages[pathname] : undefined;
    if (request.method !== "GET" && request.method !== "HEAD") return answer(response, 405, "only GET\n");
    if (page === undefined) return answer(response, 404, "no such page\n");
    try {
      const { contentType, text } = await page();
      answer(response, 200, text, contentType);
    } catch (err) {
      this.options.logger.error({ err, pathname }, "could not serve a page of the inspection socket");
      answer(response, 500, `${reasonOf(err)}\n`);
    }
  }
}

function answer(
  response: ServerResponse,
  status: number,
  text: string,
  contentType = "text/plain; charset=utf-8",
): void {
  response.writeHead(status, { "content-type": contentType, "content-length": Buffer.byteLength(text) });
  response.end(text);
}
