/**
 * The unix sockets that this process has connected below a directory, so that they can end as a killed process's do: in the
 * middle of a line, with nobody on this side who hears of it.
 */
import net from "node:net";

type Connect = typeof net.connect;

export class Connections {
  private readonly open = new Map<net.Socket, string>();
  private readonly connect: Connect = net.connect;

  /** Watches until {@link dispose}. One at a time. */
  constructor(below: string) {
    const { connect, open } = this;
    net.connect = ((...args: Parameters<Connect>) => {
      const socket = connect(...args);
      const [options] = args as unknown[];
      const path = typeof options === "object" && options !== null && "path" in options ? options.path : "";
      if (typeof path === "string" && path.startsWith(`${below}/`)) open.set(socket, path);
      return socket;
    }) as Connect;
  }

  /** @param beginning of something that is never sent to its end, by the path of the other end */
  die(beginning: (path: string) => string | Uint8Array): void {
    for (const [socket, path] of this.open) {
      if (!socket.destroyed) socket.write(beginning(path));
      socket.removeAllListeners();
      socket.on("error", () => undefined).destroy();
      silence(socket);
    }
    this.open.clear();
  }

  dispose(): void {
    net.connect = this.connect;
  }
}

/** Whoever had the socket is dead: he writes nothing, and does not learn that he cannot. */
function silence(socket: net.Socket): void {
  Object.defineProperties(socket, {
    write: { value: () => true },
    // so that he waits for what he believes to be on its way
    writableLength: { value: 1 },
  });
}
