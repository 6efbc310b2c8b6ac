/**
 * The Task socket: containerd's connections, kept through any number of daemons.
 *
 * It relays whole ttrpc messages and matches answers to requests; what they mean is the daemon's business.
 */
import type { EventLoop } from "../native/runtime/event-loop.ts";
import type { Logger } from "../native/runtime/log.ts";
import type { Frame } from "../src/protocol/wire/frame.ts";
import { Listener } from "./listener.ts";
import { TaskConnection } from "./task-connection.ts";

export interface TaskServerOptions {
  readonly path: string;
  readonly mode: number;
  readonly loop: EventLoop;
  readonly log: Logger;
  /** Puts an encoded TaskRequest on the daemon's link; dropped while there is none. */
  readonly send: (frame: Uint8Array) => void;
  readonly onOpened: (connection: number) => void;
  readonly onClosed: (connection: number) => void;
}

export class TaskServer {
  private readonly options: TaskServerOptions;
  private readonly listener: Listener;
  private readonly connections = new Map<number, TaskConnection>();
  private next = 1;

  constructor(options: TaskServerOptions) {
    this.options = options;
    const { path, mode, loop, log } = options;
    this.listener = new Listener({ path, mode, loop, log, onConnection: (fd) => this.accepted(fd) });
  }

  /** For the hello. */
  list(): number[] {
    return [...this.connections.keys()];
  }

  /** For the hello: which requests an earlier daemon may have seen. */
  nextRequests(): { connection: number; next: number }[] {
    return [...this.connections.values()].map(({ number, nextRequest }) => ({
      connection: number,
      next: nextRequest,
    }));
  }

  /** A daemon has come: it gets everything that has no answer yet. */
  replay(): void {
    for (const connection of this.connections.values()) connection.replay();
  }

  /** A TaskResponse of the daemon. */
  answer({ stream, sequence, payload }: Frame): void {
    this.connections.get(stream)?.answer(sequence, payload);
  }

  close(): void {
    this.listener.close();
  }

  private accepted(fd: number): void {
    const { loop, log, send, onOpened, onClosed } = this.options;
    const number = this.next++;
    const connection = new TaskConnection({
      fd,
      number,
      loop,
      send,
      onClosed: (error) => {
        this.connections.delete(number);
        if (error !== undefined) log.warn("a Task connection was closed", { connection: number, error });
        onClosed(number);
      },
    });
    this.connections.set(number, connection);
    onOpened(number);
  }
}
