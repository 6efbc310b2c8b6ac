/**
 * Serves the metrics on a port of the loopback, for a Prometheus that cannot read a unix socket.
 *
 * Any user of the node may read it. Nothing but `GET /metrics` is answered. The Host header must name the loopback, so that a
 * browser on the node cannot be made to read it for a stranger (DNS rebinding). A client that is slow is cut off.
 */
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { blazarError, reasonOf } from "../../contracts/errors.ts";
import type { Logger } from "../../contracts/logger.ts";
import { boundConnections } from "../../lib/sockets/http-connections.ts";
import { isLoopback, type LoopbackAddress } from "../../lib/sockets/loopback.ts";
import type { MetricsPage } from "./metrics.ts";

const MOST_CONNECTIONS = 16;
const SLOWEST_MS = 10_000;
const HOST_HEADER = /^(?:\[([0-9a-f:]+)\]|([^:[\]]+))(?::\d{1,5})?$/i;

export class MetricsEndpoint {
  private readonly server = createServer((request, response) => void this.answer(request, response));

  constructor(
    private readonly page: () => Promise<MetricsPage>,
    private readonly logger: Logger,
  ) {
    boundConnections(this.server, { most: MOST_CONNECTIONS, idleMs: SLOWEST_MS });
  }

  /** Resolves with the port. @throws BlazarError `PortInUse`, `HostResource` */
  listen({ host, port }: LoopbackAddress): Promise<number> {
    return new Promise((resolve, reject) => {
      this.server.once("error", (cause: NodeJS.ErrnoException) => {
        const code = cause.code === "EADDRINUSE" ? "PortInUse" : "HostResource";
        const about = { subject: `${host}:${port}`, remedy: "set metrics.listen", cause };
        reject(blazarError(code, "serve the metrics", reasonOf(cause), about));
      });
      this.server.listen(port, host, () => {
        const address = this.server.address();
        resolve(typeof address === "object" && address !== null ? address.port : port);
      });
    });
  }

  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.server.close(() => resolve());
    });
    this.server.closeAllConnections();
    await closed;
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, ipv6, name = ipv6 ?? ""] = HOST_HEADER.exec(request.headers.host ?? "") ?? [];
    if (!isLoopback(name)) return end(response, 403, "the Host header must name the loopback\n");
    if (request.url !== "/metrics") return end(response, 404, "there is nothing but /metrics\n");
    if (request.method !== "GET" && request.method !== "HEAD") return end(response, 405, "only GET\n");
    try {
      const { contentType, text } = await this.page();
      end(response, 200, text, contentType);
    } catch (err) {
      this.logger.error({ err }, "could not serve the metrics");
      end(response, 500, `${reasonOf(err)}\n`);
    }
  }
}

function end(
  response: ServerResponse,
  status: number,
  text: string,
  type = "text/plain; charset=utf-8",
): void {
  response.writeHead(status, { "content-type": type, "content-length": Buffer.byteLength(text) });
  response.end(text);
}
