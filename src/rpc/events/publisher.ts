/**
 * Sends task events to containerd as its shims do: containerd.services.events.ttrpc.v1.Events/Forward.
 *
 * Nothing ever waits for an event, since exits reach containerd by Task.Wait. Events queue in order, up to a bound.
 * While containerd is down, the next one is tried again with a growing pause. A full queue drops its oldest event;
 * dropped events are counted and logged.
 */
import type { Logger } from "../../contracts/logger.ts";
import type { TaskEvent, TaskEvents } from "../../contracts/task.ts";
import { pause } from "../../lib/async.ts";
import { EventsDefinition } from "../generated/containerd/services/events/ttrpc/v1/events.ts";
import type { Envelope } from "../generated/containerd/types/types.ts";
import { kindOfError } from "../status.ts";
import { TtrpcClient } from "../ttrpc/client.ts";
import { NAMESPACE_METADATA } from "../ttrpc/metadata.ts";
import { toEnvelope } from "./envelope.ts";

const DEFAULT_CAPACITY = 1024;
const DEFAULT_RETRY = { initialMs: 100, maxMs: 5_000 };
/** How long one Forward may take. */
const CALL_TIMEOUT_MS = 5_000;
/** containerd's default: the ttrpc socket is beside the gRPC socket, with this after its name. */
const TTRPC_SUFFIX = ".ttrpc";

export interface EventPublisherOptions {
  /** containerd's gRPC socket, an absolute path. */
  readonly socket: string;
  readonly logger: Logger;
  /** How many events may wait while one is sent. */
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

  /** Resolves when the queue is empty. It never is while containerd is down: use a deadline. */
  async flush(): Promise<void> {
    await this.idle;
  }

  /** Gives up the events that still wait, and closes the connection. */
  async close(): Promise<void> {
    this.closed.abort();
    this.client.close();
    await this.idle;
  }

  private async send(): Promise<void> {
    // the event that is being sent has left the queue, so it is never dropped
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
      const metadata = { [NAMESPACE_METADATA]: namespace };
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
    // logged when it begins, and with the number when containerd is back
    if (this.unreported === 1) {
      this.logger.warn(
        { capacity: this.capacity },
        "containerd takes no task events: the oldest are dropped",
      );
    }
  }

  private reportDropped(): void {
    if (this.unreported === 0) return;
    this.logger.warn({ dropped: this.unreported }, "task events were dropped while containerd was away");
    this.unreported = 0;
  }
}
