/**
 * Bounds the connections of an HTTP server on a port of the loopback, which every user of the machine can reach.
 *
 * When there are too many, the one that has been idle longest makes way. So whoever holds connections and asks nothing keeps nobody
 * out. A connection on which a request is being answered is never ended for another one. Slow clients are cut off by time.
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";

export interface ConnectionBounds {
  readonly most: number;
  /** A client that neither sends nor reads for so long is cut off. */
  readonly idleMs: number;
}

export function boundConnections(server: Server, { most, idleMs }: ConnectionBounds): void {
  /** With the requests that are being answered; the longest idle ones first. */
  const connections = new Map<Socket, number>();
  server.headersTimeout = idleMs;
  server.requestTimeout = idleMs;
  server.setTimeout(idleMs, (connection) => connection.destroy());
  server.prependListener("connection", (connection: Socket) => {
    connections.set(connection, 0);
    connection.once("close", () => connections.delete(connection));
    if (connections.size > most) firstIdle(connections).destroy();
  });
  server.prependListener("request", ({ socket }: IncomingMessage, response: ServerResponse) => {
    change(connections, socket, 1);
    response.once("close", () => change(connections, socket, -1));
  });
}

/** The newest one, if all others are busy: it has just come. */
function firstIdle(connections: ReadonlyMap<Socket, number>): Socket {
  const [idle] = [...connections].find(([, requests]) => requests === 0) ?? [];
  if (idle === undefined) throw new Error("a connection that has just come is idle");
  return idle;
}

/** What has just been busy is the last to make way. */
function change(connections: Map<Socket, number>, socket: Socket, by: number): void {
  const requests = connections.get(socket);
  if (requests === undefined) return;
  connections.delete(socket);
  connections.set(socket, requests + by);
}
