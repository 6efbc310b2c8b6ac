/**
 * The one stream of the page: summaries of all sandboxes, and entries of those that are looked at.
 *
 * It is opened again when it ends, at longer and longer intervals. A tab that nobody sees has none, because a browser opens six
 * connections to a host for all of its tabs.
 */
import type { InspectionEvent } from "../../src/contracts/inspection.ts";
import type { StreamEnd, StreamMessage } from "../../src/page/messages.ts";
import { EventReader } from "../model/events.ts";
import { openWatch, Refusal } from "./api.ts";

export type Connection =
  | { readonly state: "connecting" | "live" | "paused" }
  | { readonly state: "lost"; readonly reason: string };

export interface StreamListener {
  told(from: string, event: InspectionEvent): void;
  connection(connection: Connection): void;
}

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 8_000;

export class Stream {
  private ids: readonly string[] = [];
  private current: AbortController | undefined;
  private retryMs = FIRST_RETRY_MS;
  private retry: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly listener: StreamListener) {
    document.addEventListener("visibilitychange", () => this.restart());
  }

  /** Opens the stream with the entries of these sandboxes. */
  open(ids: readonly string[]): void {
    this.ids = ids;
    this.restart();
  }

  private restart(): void {
    clearTimeout(this.retry);
    this.current?.abort();
    this.current = undefined;
    if (document.visibilityState === "hidden") return this.listener.connection({ state: "paused" });
    const controller = new AbortController();
    this.current = controller;
    this.read(controller.signal).then(
      (reason) => this.lost(controller, reason),
      (error: unknown) =>
        this.lost(controller, error instanceof Refusal ? error.message : "the stream broke off"),
    );
  }

  private lost(controller: AbortController, reason: string): void {
    if (this.current !== controller) return;
    this.listener.connection({ state: "lost", reason });
    this.retry = setTimeout(() => this.restart(), this.retryMs);
    this.retryMs = Math.min(LAST_RETRY_MS, this.retryMs * 2);
  }

  /** Yields why the stream has ended. */
  private async read(signal: AbortSignal): Promise<string> {
    this.listener.connection({ state: "connecting" });
    const { body } = await openWatch(this.ids, signal);
    if (body === null) return "there is no stream";
    const events = new EventReader();
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return "the stream has ended";
      for (const { name, data } of events.read(value)) {
        if (name === "end") return (JSON.parse(data) as StreamEnd).reason;
        const { from, event } = JSON.parse(data) as StreamMessage;
        // only now it is known that a daemon answers
        this.retryMs = FIRST_RETRY_MS;
        this.listener.connection({ state: "live" });
        this.listener.told(from, event);
      }
    }
  }
}
