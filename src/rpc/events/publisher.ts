/**
 * Sends task events to containerd as its shims do: containerd.services.events.ttrpc.v1.Events/Forward on the ttrpc socket
 * beside its own.
 *
 * Events are a courtesy (exits reach containerd by Task.Wait), so nothing ever waits for them: they queue,
 * in order, up to a bound; while containerd is down they are retried with a growing pause, and the oldest
 * go first when the queue is full. What was dropped is counted and said.
 */
import type { Logger } from "../../contracts/logger.ts";
import type { TaskEvent, TaskEvents } from "../../contracts/task.ts";
import { EventsDefinition } from "../generated/containerd/services/events/ttrpc/v1/events.ts";
import type { Envelope } from "../generated/containerd/types/types.ts";
import { kindOfError } from "../status.ts";
import { TtrpcClient } from "../ttrpc/client.ts";
import { toEnvelope } from "./envelope.ts";

const DEFAULT_CAPACITY = 1024;
const DEFAULT_RETRY = { initialMs: 100, maxMs: 5_000 };
/** How long one Forward may take. */
const CALL_TIMEOUT_MS = 5_000;
/** Where containerd listens for ttrpc, unless it is told otherwise: its gRPC socket's name and this. */
const TTRPC_SUFFIX = ".ttrpc";
/** Where containerd looks for its namespace in a ttrpc call. */
const NAMESPACE_KEY = "containerd-namespace-ttrpc";

export interface EventPublisherOptions {
  /** containerd's gRPC socket, an absolute path. */
  readonly socket: string;
  readonly logger: Logger;
  /** How many events may wait behind the one under way. */
  readonly capacity?: number;
  /** The pause after a failure: from `initialMs`, doubled each time, up to `maxMs`. */
  readonly retry?: { readonly initialMs: number; readonly maxMs: number };
}

export class EventPublisher implements TaskEvents {
  private readonly client: TtrpcClient;
  private readonly logger: Logger;
  private readonly capacity: number;
  private readonly retry: { readonly initialMs: number; readonly maxMs: number };
  private readonly queue: Envelope[] = [];
  private readonly closed = new AbortController();
  private idle: Promise<void> = Promise.resolve();
  private isSending = false;
  private droppedCount = 0;
  private unreported = 0;

  constructor(options: EventPublisherOptions) {
    this.retry = options.retry ?? DEFAULT_RETRY;
    this.client = new TtrpcClient(`${options.socket}${TTRPC_SUFFIX}`);
    this.logger = options.logger;
    this.capacity = options.capacity ?? DEFAULT_CAPACITY;
  }

  /** How many events were given up since the start. */
  get dropped(): number {
    return this.droppedCount;
  }

  publish(event: TaskEvent): void {
    if (this.closed.signal.aborted) return;
    if (this.queue.length >= this.capacity) this.dropOldest();
    this.queue.push(toEnvelope(event, new Date()));
    if (this.isSending) return;
    this.isSending = true;
    this.idle = this.send();
  }

  /** Resolves when nothing is waiting any more. Never, while containerd is down: use a deadline. */
  async flush(): Promise<void> {
    await this.idle;
  }

  /** Gives up what is still waiting, and closes the connection. */
  async close(): Promise<void> {
    this.closed.abort();
    this.client.close();
    await this.idle;
  }

  private async send(): Promise<void> {
    // the event under way is out of the queue: it is never among those that are dropped
    for (let next = this.queue.shift(); next !== undefined; next = this.queue.shift()) {
      await this.deliver(next);
      if (this.closed.signal.aborted) break;
      this.reportDropped();
    }
    this.isSending = false;
  }

  /** Resolves once the event is sent, refused, or given up because the publisher closes. */
  private async deliver(envelope: Envelope): Promise<void> {
    let pauseMs = this.retry.initialMs;
    while ((await this.forward(envelope)) === "retry" && !this.closed.signal.aborted) {
      await pause(pauseMs, this.closed.signal);
      if (this.closed.signal.aborted) return;
      pauseMs = Math.min(pauseMs * 2, this.retry.maxMs);
    }
  }

  private async forward(envelope: Envelope): Promise<"sent" | "refused" | "retry"> {
    const { namespace, topic } = envelope;
    try {
      const metadata = { [NAMESPACE_KEY]: namespace };
      const options = { metadata, timeoutMs: CALL_TIMEOUT_MS };
      await this.client.call(EventsDefinition, EventsDefinition.methods.forward, { envelope }, options);
      return "sent";
    } catch (err) {
      const kind = kindOfError(err);
      if (kind === "unavailable" || kind === "deadlineExceeded" || kind === "cancelled") return "retry";
      this.logger.warn({ err, topic, namespace }, "containerd refused a task event");
      this.droppedCount++;
      return "refused";
    }
  }

  private dropOldest(): void {
    this.queue.shift();
    this.droppedCount++;
    this.unreported++;
    // one line when it starts, one with the sum when containerd is back
    if (this.unreported === 1) {
      this.logger.warn({ capacity: this.capacity }, "containerd takes no task events; dropping the oldest");
    }
  }

  private reportDropped(): void {
    if (this.unreported === 0) return;
    this.logger.warn({ dropped: this.unreported }, "task events were dropped while containerd was away");
    this.unreported = 0;
  }
}

/** Resolves after `ms` or when `signal` aborts, and does not keep the process alive. */
function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const finish = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", finish);
      resolve();
    };
    const timer = setTimeout(finish, ms);
    timer.unref();
    signal.addEventListener("abort", finish, { once: true });
  });
}
