/**
 * The PortForwards port on Linux: a listener in the pod's namespace, to which the kernel steers connections to `localhost`.
 *
 * A worker makes the listener (src/workers/loopback/); the main thread accepts, so nothing blocks. Both descriptors end with
 * the daemon, and with them the steering: there is nothing to undo after a crash. The listener holds the namespace, so it
 * must be closed before the pod's network is taken down.
 */
import { closeSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { BlazarError } from "../../contracts/errors.ts";
import type { NetworkedPod } from "../../contracts/network.ts";
import type { ForwardedConnection, PortForward, PortForwards } from "../../contracts/port-forward.ts";
import type { NetworkTasks } from "../../workers/network/tasks.ts";
import type { TaskRunner } from "../storage/worker-pool.ts";
import { acceptedConnection } from "./accepted-connection.ts";

/** A connection waits for its guest, so it is not read from when it is accepted; a half-open one goes on. */
const SERVER_OPTIONS = { allowHalfOpen: true, pauseOnConnect: true, noDelay: true };

export class SteeredPortForwards implements PortForwards {
  constructor(private readonly workers: TaskRunner<NetworkTasks>) {}

  async open(
    { netnsPath }: NetworkedPod,
    onConnection: (connection: ForwardedConnection) => void,
  ): Promise<PortForward> {
    const { socket, link } = await this.workers.run("takeLocalhost", { path: netnsPath });
    try {
      return new LoopbackForward(await listening(socket, netnsPath), link, onConnection);
    } catch (error) {
      closeSync(link);
      throw error;
    }
  }
}

class LoopbackForward implements PortForward {
  private readonly open = new Set<Socket>();
  private closed = false;

  constructor(
    private readonly server: Server,
    private readonly link: number,
    private readonly onConnection: (connection: ForwardedConnection) => void,
  ) {
    server.on("connection", (socket) => this.accept(socket));
    // nothing that it could fail at ends it
    server.on("error", () => undefined);
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    // first, so that the kernel itself refuses whoever comes now
    closeSync(this.link);
    this.server.close();
    for (const socket of this.open) socket.resetAndDestroy();
  }

  private accept(socket: Socket): void {
    this.open.add(socket);
    socket.once("close", () => this.open.delete(socket));
    const connection = acceptedConnection(socket);
    if (connection === undefined || this.closed) socket.resetAndDestroy();
    else this.onConnection(connection);
  }
}

/** Adopts a socket that listens. */
function listening(fd: number, subject: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer(SERVER_OPTIONS);
    const refuse = (cause: unknown): void => {
      server.close();
      const what = { operation: "take connections to localhost", subject };
      reject(BlazarError.wrap(cause, "HostResource", what));
    };
    server.once("error", refuse);
    try {
      server.listen({ fd }, () => {
        server.removeListener("error", refuse);
        resolve(server);
      });
    } catch (error) {
      refuse(error);
    }
  });
}
