/**
 * `network.dial`: connects to servers in the guest for the daemon, as a process of the pod would to `localhost`.
 *
 * Containers share the agent's network namespace, so 127.0.0.1 and ::1 are theirs. Nothing here waits without a deadline:
 * a server that does not accept lets its connections wait for minutes. Must not reach another address than loopback.
 */
import * as sys from "sys";
import { failure } from "../../../native/runtime/check.ts";
import type { EventLoop } from "../../../native/runtime/event-loop.ts";
import { blazarError } from "../../../src/contracts/errors.ts";
import type { NetworkDial } from "../../../src/protocol/guest/dial.ts";
import type { Peer } from "../../../src/protocol/wire/peer.ts";
import { DialledConnection } from "./dialled-connection.ts";

/** For each of the two addresses; together less than the daemon waits. */
const CONNECT_WITHIN_MS = 10_000;
const OPERATION = "connect to a server in the guest";

export class Dials {
  private readonly loop: EventLoop;
  private readonly peer: Peer;

  constructor(loop: EventLoop, peer: Peer) {
    this.loop = loop;
    this.peer = peer;
  }

  /** Throws ConnectionRefused if nobody listens, else GuestFailed. */
  async dial({ family, port, stream, window }: NetworkDial): Promise<void> {
    // at once, so that it hears when the host gives the stream up
    const connection = new DialledConnection(this.loop, this.peer, stream, window);
    try {
      connection.start(await connectLocalhost(this.loop, family, port));
    } catch (error) {
      connection.close();
      throw error;
    }
  }
}

async function connectLocalhost(loop: EventLoop, family: number, port: number): Promise<number> {
  const other = family === 6 ? 4 : 6;
  const first = await connectLoopback(loop, family, port);
  if (first >= 0) return first;
  const second = await connectLoopback(loop, other, port);
  if (second >= 0) return second;
  const subject = `port ${port}`;
  if (first === -sys.ECONNREFUSED || second === -sys.ECONNREFUSED)
    throw blazarError("ConnectionRefused", OPERATION, "nobody listens on 127.0.0.1 or ::1", { subject });
  throw failure(first, "GuestFailed", OPERATION, subject);
}

/** The descriptor of a connection, or -errno. */
async function connectLoopback(loop: EventLoop, family: number, port: number): Promise<number> {
  const fd = sys.loopbackConnect(family, port);
  if (fd < 0) return fd;
  const error = await connected(loop, fd);
  if (error === 0) return fd;
  sys.close(fd);
  return -error;
}

/** The errno that the attempt ends with; 0 = connected. */
function connected(loop: EventLoop, fd: number): Promise<number> {
  return new Promise((resolve) => {
    const watch = loop.watch(fd);
    const settle = (error: number): void => {
      watch.stop();
      timer.cancel();
      resolve(error);
    };
    const timer = loop.setTimer(CONNECT_WITHIN_MS, () => settle(sys.ETIMEDOUT));
    watch.setWritable(() => settle(Math.abs(sys.socketError(fd))));
  });
}
