/**
 * A connection that was accepted, as a {@link ForwardedConnection}: a socket of Node, paused until its consumer is there.
 */
import type { Socket } from "node:net";
import type { ForwardedConnection, ForwardHandlers } from "../../contracts/port-forward.ts";

/** Undefined if it is gone already. The local address of a steered connection is the one that was dialled. */
export function acceptedConnection(socket: Socket): ForwardedConnection | undefined {
  const { localAddress, localPort } = socket;
  if (localAddress === undefined || localPort === undefined) return undefined;
  return new AcceptedConnection(socket, localAddress === "::1" ? 6 : 4, localPort);
}

class AcceptedConnection implements ForwardedConnection {
  private handlers: ForwardHandlers | undefined;

  constructor(
    private readonly socket: Socket,
    readonly family: 4 | 6,
    readonly port: number,
  ) {
    let failure: Error | undefined;
    socket.on("error", (error) => {
      failure ??= error;
    });
    socket.once("close", () => {
      const { handlers } = this;
      this.handlers = undefined;
      handlers?.closed(failure);
    });
  }

  open(handlers: ForwardHandlers): void {
    if (this.socket.destroyed) return queueMicrotask(() => handlers.closed());
    this.handlers = handlers;
    this.socket.on("data", (bytes) => this.handlers?.data(bytes));
    this.socket.once("end", () => this.handlers?.end());
  }

  write(bytes: Uint8Array, done: () => void): void {
    this.socket.write(bytes, (error) => this.tell(error, done));
  }

  end(done: () => void): void {
    this.socket.end((error?: Error | null) => this.tell(error, done));
  }

  read(on: boolean): void {
    if (on) this.socket.resume();
    else this.socket.pause();
  }

  reset(): void {
    this.handlers = undefined;
    this.socket.resetAndDestroy();
  }

  private tell(error: Error | null | undefined, done: () => void): void {
    if ((error ?? undefined) === undefined && this.handlers !== undefined) done();
  }
}
