/**
 * What happens to layers and OCI images, from containerd's events (Events.Subscribe, filters as in pkg/filters).
 *
 * containerd has no event for "an image is unpacked": it publishes each layer's commit, and notes the top afterwards as a
 * label of the image's configuration, without an event. So a change only says that it is time to look. A stream that ends
 * is opened again with a growing pause; a refusal is told once.
 */
import { BlazarError } from "../../contracts/errors.ts";
import type { EventObserver, EventSource } from "../../contracts/event-source.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { SnapshotChange } from "../../contracts/snapshots.ts";
import { abortable, pause } from "../../lib/async.ts";
import { EventsService } from "../generated/containerd/services/events/v1/events.ts";
import { LeasesService } from "../generated/containerd/services/leases/v1/leases.ts";
import type { Envelope } from "../generated/containerd/types/types.ts";
import type { ContainerdConnection } from "./connection.ts";

const CHANGES: Readonly<Record<string, SnapshotChange>> = {
  "/snapshot/commit": "layer",
  "/images/create": "image",
  "/images/update": "image",
  "/images/delete": "image",
};
/** A question whose answer is short. */
const NO_LEASE = "id==none";
const CONNECT_MS = 1_000;
/** A refusal comes at once: a stream that goes on for so long was granted. */
const LASTING_MS = 10_000;
/** How long a pause is after a failure: doubled each time. */
const RETRY = { firstMs: 100, lastMs: 10_000 };

export interface ChangesOptions {
  readonly connection: Pick<ContainerdConnection, "ready" | "follow" | "call">;
  readonly namespace: string;
  readonly logger: Logger;
}

export class SnapshotChanges implements EventSource<SnapshotChange> {
  private told = false;
  private readonly closed = new AbortController();

  constructor(private readonly options: ChangesOptions) {}

  subscribe(observer: EventObserver<SnapshotChange>): { unsubscribe(): void } {
    const ended = new AbortController();
    void this.follow(observer, AbortSignal.any([ended.signal, this.closed.signal]));
    return { unsubscribe: () => ended.abort() };
  }

  /** Ends all subscriptions. */
  close(): void {
    this.closed.abort();
  }

  private async follow(observer: EventObserver<SnapshotChange>, signal: AbortSignal): Promise<void> {
    let pauseMs = RETRY.firstMs;
    while (!signal.aborted) {
      const started = Date.now();
      const error = await this.followOnce(observer, signal).catch((reason: unknown) => reason);
      // a stream that lasted is no failure, and a refusal after it is a new one
      if (Date.now() - started > LASTING_MS) {
        pauseMs = RETRY.firstMs;
        this.told = false;
      }
      this.tell(error, signal);
      await pause(pauseMs, signal);
      pauseMs = Math.min(pauseMs * 2, RETRY.lastMs);
    }
  }

  /** Settles when the stream has ended. */
  private async followOnce(observer: EventObserver<SnapshotChange>, signal: AbortSignal): Promise<void> {
    const { connection, namespace } = this.options;
    const what = { operation: "connect to containerd" };
    await abortable(connection.ready(CONNECT_MS), signal, what);
    // in quotes: a value that begins with a slash would be a quoted one
    const filters = Object.keys(CHANGES).map((topic) => `namespace=="${namespace}",topic=="${topic}"`);
    const onMessage = ({ topic }: Envelope) => {
      const change = Object.hasOwn(CHANGES, topic) ? CHANGES[topic] : undefined;
      if (change !== undefined && !signal.aborted) observer.next(change);
    };
    const ended = connection.follow(EventsService.subscribe, { filters }, onMessage, signal);
    // the stream itself says nothing before the first event; an answer to a later question shows that it was heard
    const answered = connection.call(LeasesService.list, { filters: [NO_LEASE] }, { signal });
    // whichever fails second has nobody who waits for it
    answered.catch(() => undefined);
    ended.catch(() => undefined);
    await Promise.race([ended, answered]);
    await answered;
    observer.next("connected");
    await ended;
  }

  /** That containerd is away is no news: it starts after this daemon, and is restarted. */
  private tell(error: unknown, signal: AbortSignal): void {
    if (error === undefined) return;
    const away = error instanceof BlazarError && error.kind === "unavailable";
    if (away || signal.aborted || this.told) return;
    this.told = true;
    this.options.logger.warn({ err: error }, "containerd does not tell of new images: it is asked again");
  }
}
