/**
 * The Task socket: containerd's connections, kept through any number of daemons.
 *
 * It relays whole ttrpc messages and matches answers to requests; what they mean is the daemon's business.
 */
import type { EventLoop } from "../../native/runtime/event-loop.ts";
import type { Logger } from "../../native/runtime/log.ts";
import type { Frame } from "../../src/protocol/wire/frame.ts";
import { Listener } from "../listener.ts";
import { TaskBudget } from "./task-budget.ts";
import { TaskConnection } from "./task-connection.ts";
import { type OutboxOptions, TaskOutbox } from "./task-outbox.ts";

export interface TaskServerOptions {
  readonly path: string;
  readonly mode: number;
  readonly loop: EventLoop;
  readonly log: Logger;
  /** The daemon's link. */
  readonly link: OutboxOptions;
  readonly onOpened: (connection: number) => void;
  readonly onClosed: (connection: number) => void;
}

export class TaskServer {
  private readonly options: TaskServerOptions;
  private readonly listener: Listener;
  private readonly connections = new Map<number, TaskConnection>();
  private readonly budget = new TaskBudget();
  private readonly outbox: TaskOutbox;
  private next = 1;

  constructor(options: TaskServerOptions) {
    this.options = options;
    this.outbox = new TaskOutbox(options.link);
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
    this.outbox.clear();
    for (const connection of this.connections.values()) connection.replay();
  }

  /** The daemon's link has sent something. */
  linkMoved(): void {
    this.outbox.pump();
  }

  /** A TaskResponse of the daemon. */
  answer({ stream, sequence, payload }: Frame): void {
    this.connections.get(stream)?.answer(sequence, payload);
  }

  close(): void {
    this.listener.close();
  }

  private accepted(fd: number): void {
    const { loop, log, onOpened, onClosed } = this.options;
    const { budget, outbox } = this;
    const number = this.next++;
    const connection = new TaskConnection({
      fd,
      number,
      loop,
      budget,
      send: (request) => outbox.add(request),
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
