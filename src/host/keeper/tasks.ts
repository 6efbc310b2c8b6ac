/**
 * The daemon's end of the Task relay: hands containerd's ttrpc messages to whoever answers them.
 *
 * The keeper sends every unanswered request again after each attach. A request that is being answered is not handed over
 * twice; one whose answer may have been lost with the link is answered from memory. It does not look into the messages.
 */
import { reasonOf } from "../../contracts/errors.ts";
import type { TaskMessageHandler } from "../../contracts/keeper.ts";
import type { Logger } from "../../contracts/logger.ts";
import { encodeFrame, type Frame, FrameType } from "../../protocol/wire/frame.ts";

/** Answers kept per connection: more calls than containerd ever has open on one. */
const REMEMBERED_ANSWERS = 16;

const RUNNING = Symbol("running");

interface Connection {
  readonly abort: AbortController;
  /** By number of the request: being answered, or the encoded answer (latin1: a string is a third of a buffer). */
  readonly requests: Map<number, typeof RUNNING | string>;
  /** Requests below this number may have come to an earlier daemon. */
  firstNew: number;
}

export class TaskRelay {
  private readonly connections = new Map<number, Connection>();
  private handler: TaskMessageHandler | undefined;
  private early: { connection: number; sequence: number; message: Uint8Array }[] = [];

  constructor(
    private readonly send: (frame: Uint8Array) => void,
    private readonly log: Logger,
  ) {}

  setHandler(handler: TaskMessageHandler): void {
    this.handler = handler;
    const early = this.early;
    this.early = [];
    for (const { connection, sequence, message } of early) this.answer(connection, sequence, message);
  }

  opened(connection: number): void {
    this.connection(connection);
  }

  closed(connection: number): void {
    const known = this.connections.get(connection);
    this.connections.delete(connection);
    this.early = this.early.filter((request) => request.connection !== connection);
    known?.abort.abort();
  }

  /** The keeper has said which connections there are; the rest is closed. */
  reconcile(open: readonly number[]): void {
    const present = new Set(open);
    for (const connection of [...this.connections.keys()])
      if (!present.has(connection)) this.closed(connection);
    for (const connection of open) this.connection(connection);
  }

  /**
   * At the first hello: requests of these connections that may have come to an earlier daemon. An older keeper does not say
   * which, so there they all may.
   */
  mayHaveSeen(open: readonly number[], next?: readonly { connection: number; next: number }[]): void {
    for (const connection of open) {
      const known = next?.find((each) => each.connection === connection);
      this.connection(connection).firstNew = known?.next ?? Number.POSITIVE_INFINITY;
    }
  }

  /** A {@link FrameType.TaskRequest}. */
  request(frame: Frame): void {
    const { stream, sequence } = frame;
    const { requests } = this.connection(stream);
    const state = requests.get(sequence);
    if (state === RUNNING) return;
    if (state !== undefined) return this.send(Buffer.from(state, "latin1"));
    requests.set(sequence, RUNNING);
    this.answer(stream, sequence, frame.payload.slice());
  }

  private answer(number: number, sequence: number, message: Uint8Array): void {
    if (this.handler === undefined) {
      this.early.push({ connection: number, sequence, message });
      return;
    }
    const connection = this.connection(number);
    const replayed = sequence < connection.firstNew;
    const context = { connection: number, replayed, signal: connection.abort.signal };
    this.handler(message, context).then(
      (response) => this.answered(number, connection, sequence, response),
      (error: unknown) => {
        connection.requests.delete(sequence);
        const text = `a Task request has no answer: ${reasonOf(error)}`;
        this.log.error({ err: error, connection: number }, text);
      },
    );
  }

  private answered(number: number, connection: Connection, sequence: number, response: Uint8Array): void {
    if (connection.abort.signal.aborted) return;
    if (response.length === 0) {
      connection.requests.delete(sequence);
      return;
    }
    const frame = encodeFrame(FrameType.TaskResponse, number, sequence, response);
    // Deleted first, so that the map's order is the order of the answers.
    connection.requests.delete(sequence);
    connection.requests.set(sequence, latin1(frame));
    this.forgetOldest(connection);
    this.send(frame);
  }

  private forgetOldest({ requests }: Connection): void {
    const answered = [...requests].filter(([, state]) => state !== RUNNING);
    for (const [sequence] of answered.slice(0, Math.max(0, answered.length - REMEMBERED_ANSWERS)))
      requests.delete(sequence);
  }

  private connection(number: number): Connection {
    let connection = this.connections.get(number);
    if (connection === undefined) {
      connection = { abort: new AbortController(), requests: new Map(), firstNew: 0 };
      this.connections.set(number, connection);
    }
    return connection;
  }
}

function latin1({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString("latin1");
}
