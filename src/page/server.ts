/**
 * The state-chart page's HTTP server: loopback only, one page, a few questions below `/api/`.
 *
 * The token is in the URL's fragment, which no browser sends anywhere. The page takes it out of the address at once and
 * puts it into the header Authorization (web/data/session.ts). The daemon itself opens no TCP port.
 */
import { randomBytes } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { blazarError, reasonOf } from "../contracts/errors.ts";
import { boundConnections } from "../lib/sockets/http-connections.ts";
import { type PageFile, readPageFiles, SAFE_HEADERS } from "./files.ts";
import { API, refusalOf } from "./guard.ts";
import { answer, refuse, type Shown } from "./routes.ts";

export interface PageOptions extends Shown {
  /** 0 = one that is free. */
  readonly port: number;
  /** The page's bundle. */
  readonly directory: string;
}

const LOOPBACK = "127.0.0.1";
const TOKEN_BYTES = 32;
/** A browser opens six for all of its tabs. */
const MOST_CONNECTIONS = 128;
/** Streams say more often that they are there (event-stream.ts). */
const IDLE_MS = 30_000;

export class PageServer {
  private constructor(
    private readonly server: Server,
    private readonly token: string,
  ) {}

  /** @throws BlazarError `PortInUse`, `HostResource`, or `DependencyMissing` if the page is not built */
  static async start(options: PageOptions): Promise<PageServer> {
    const files = await readPageFiles(options.directory);
    const token = randomBytes(TOKEN_BYTES).toString("base64url");
    const server = createServer();
    boundConnections(server, { most: MOST_CONNECTIONS, idleMs: IDLE_MS });
    await listening(server, options.port);
    const { port } = server.address() as AddressInfo;
    server.on("request", (request, response) => serve(request, response, { ...options, port, token, files }));
    return new PageServer(server, token);
  }

  /** What an operator opens in a browser. */
  get url(): string {
    const { port } = this.server.address() as AddressInfo;
    return `http://${LOOPBACK}:${port}/#token=${this.token}`;
  }

  /** Ends all streams. */
  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()));
    this.server.closeAllConnections();
    await closed;
  }
}

interface Served extends Shown {
  readonly port: number;
  readonly token: string;
  readonly files: ReadonlyMap<string, PageFile>;
}

function serve(request: IncomingMessage, response: ServerResponse, served: Served): void {
  for (const [name, value] of Object.entries(SAFE_HEADERS))
    if (value !== undefined) response.setHeader(name, value);
  // a reader that goes away in the middle of an answer
  response.on("error", () => response.destroy());
  const url = urlOf(request);
  if (url === undefined) return refuse(response, 400, "InvalidArgument", "the address cannot be read");
  const { method = "", headers } = request;
  const refusal = refusalOf({ method, path: url.pathname, headers }, served);
  if (refusal !== undefined) return refuse(response, refusal.status, refusal.code, refusal.message);
  if (url.pathname.startsWith(API)) return answer(url, response, served);
  const file = served.files.get(url.pathname);
  if (file === undefined) return refuse(response, 404, "InvalidArgument", "there is no such file");
  response.writeHead(200, { "content-type": file.type, "content-length": file.content.length });
  response.end(method === "HEAD" ? undefined : file.content);
}

/** The host of the request line is of no account: the guard looks at the header Host. */
function urlOf(request: IncomingMessage): URL | undefined {
  const target = request.url ?? "";
  return target.startsWith("/") && !target.startsWith("//") && URL.canParse(target, "http://page")
    ? new URL(target, "http://page")
    : undefined;
}

function listening(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const inUse = cause.code === "EADDRINUSE";
      const reason = inUse ? "another process listens there" : reasonOf(cause);
      const about = { subject: `${LOOPBACK}:${port}`, remedy: "name another --port, or none", cause };
      reject(blazarError(inUse ? "PortInUse" : "HostResource", "serve the page", reason, about));
    });
    server.listen(port, LOOPBACK, () => resolve());
  });
}
