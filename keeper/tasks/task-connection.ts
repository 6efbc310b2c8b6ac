/**
 * One of containerd's Task connections: requests in, answers out, and the requests that have no answer yet.
 *
 * containerd never reconnects, and takes a dropped connection for an exited container. So the connection is kept, whatever
 * becomes of the daemon. When requests pile up, here or in all connections together (task-budget.ts), or containerd does not
 * take its answers, no more is read.
 */
import * as sys from "sys";
import type { EventLoop, Watch } from "../../native/runtime/event-loop.ts";
import { QueuedWriter, type QueuedWriterOptions } from "../../native/runtime/queued-writer.ts";
import { encodeFrame, FrameType } from "../../src/protocol/wire/frame.ts";
import type { Holder, TaskBudget } from "./task-budget.ts";
import type { Outgoing } from "./task-outbox.ts";
import { TtrpcDecoder, type TtrpcMessage, TtrpcType } from "./ttrpc-decoder.ts";

/** Unanswered requests of a connection, and answers that containerd has not taken: beyond it, no reading. */
const MAX_WAITING_BYTES = 4 * 1024 * 1024;

/** One read of a pass. Shared: the decoder copies. */
const buffer = new Uint8Array(64 * 1024);

export interface TaskConnectionOptions {
  /** A non-blocking connection; it is closed here. */
  readonly fd: number;
  readonly number: number;
  readonly loop: EventLoop;
  readonly budget: TaskBudget;
  /** A TaskRequest for the daemon. */
  readonly send: (request: Outgoing) => void;
  /** It is closed, by containerd or because it broke the protocol. */
  readonly onClosed: (error: unknown) => void;
}

export class TaskConnection implements QueuedWriterOptions, Holder {
  readonly number: number;
  readonly fd: number;
  readonly watch: Watch;
  /** Reading less bounds what waits. */
  readonly limit = Number.MAX_SAFE_INTEGER;
  private readonly options: TaskConnectionOptions;
  private readonly decoder = new TtrpcDecoder();
  private readonly writer: QueuedWriter;
  /** Encoded TaskRequests by number. */
  private readonly unanswered = new Map<number, Uint8Array>();
  private unansweredBytes = 0;
  private next = 1;
  private open = true;
  private reading = false;

  constructor(options: TaskConnectionOptions) {
    this.options = options;
    this.number = options.number;
    this.fd = options.fd;
    this.watch = options.loop.watch(options.fd);
    this.writer = new QueuedWriter(this);
    this.readIfRoomy();
  }

  /** Bytes of requests without an answer. */
  get waiting(): number {
    return this.unansweredBytes;
  }

  /** Number of the request that comes next. */
  get nextRequest(): number {
    return this.next;
  }

  /** Sends every unanswered request, to a daemon that has just come. */
  replay(): void {
    for (const sequence of this.unanswered.keys()) this.sendUnanswered(sequence);
  }

  /** The daemon's answer to a request; one that nobody waits for is dropped. */
  answer(request: number, message: Uint8Array): void {
    const frame = this.unanswered.get(request);
    if (frame === undefined) return;
    this.unanswered.delete(request);
    this.unansweredBytes -= frame.length;
    this.writer.write(message.slice());
    this.account();
  }

  /** For the writer. */
  onProgress(): void {
    this.account();
  }

  /** For the budget. */
  roomAgain(): void {
    this.readIfRoomy();
  }

  /** For the writer. */
  onError(error: Error): void {
    this.close(error);
  }

  private get unfinished(): boolean {
    return this.decoder.buffered > 0;
  }

  /** Tells what is held here, and reads on if that is not too much. */
  private account(): void {
    if (!this.open) return;
    const bytes = this.unansweredBytes + this.writer.pending + this.decoder.buffered;
    this.options.budget.holds(this, bytes, this.unfinished);
    this.readIfRoomy();
  }

  private readIfRoomy(): void {
    if (!this.open) return;
    const little = this.unansweredBytes < MAX_WAITING_BYTES && this.writer.pending < MAX_WAITING_BYTES;
    const roomy = little && this.options.budget.allows(this, this.unfinished);
    if (roomy === this.reading) return;
    this.reading = roomy;
    this.watch.setReadable(roomy ? () => this.read() : null);
  }

  private read(): void {
    const count = sys.read(this.fd, buffer.buffer, 0, buffer.length);
    if (count === -sys.EAGAIN) return;
    if (count <= 0) return this.close(undefined);
    try {
      this.decoder.push(buffer.subarray(0, count), (message) => this.received(message));
    } catch (error) {
      return this.close(error);
    }
    this.account();
  }

  private received({ type, bytes }: TtrpcMessage): void {
    const sequence = this.next++;
    const frame = encodeFrame(FrameType.TaskRequest, this.number, sequence, bytes);
    // Stream data (type 3) has no answer of its own.
    if (type !== TtrpcType.Request) return this.options.send({ frame, isWanted: () => this.open });
    this.unanswered.set(sequence, frame);
    this.unansweredBytes += frame.length;
    this.sendUnanswered(sequence);
  }

  private sendUnanswered(sequence: number): void {
    const frame = this.unanswered.get(sequence);
    if (frame !== undefined) this.options.send({ frame, isWanted: () => this.unanswered.has(sequence) });
  }

  private close(error: unknown): void {
    if (!this.open) return;
    this.open = false;
    this.watch.stop();
    sys.close(this.fd);
    this.unanswered.clear();
    this.options.budget.forget(this);
    this.options.onClosed(error);
  }
}
