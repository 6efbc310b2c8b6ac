/**
 * What a daemon tells, as server-sent events (WHATWG HTML, 9.2) or as bytes of a log.
 *
 * One stream carries the fleet and the entries of some sandboxes, because browsers open six connections to a host at most.
 * A reader that is too slow is cut off, and asks anew: nothing here may grow without a bound.
 */
import type { ServerResponse } from "node:http";
import { reasonOf } from "../contracts/errors.ts";
import type { EventSource } from "../contracts/event-source.ts";
import type { InspectionEvent } from "../contracts/inspection.ts";
import type { StreamEnd, StreamMessage } from "./messages.ts";

/** Bytes that may wait for a reader. */
const MAX_WAITING = 8 << 20;
/** So often a silent stream says that it is there. */
const HEARTBEAT_MS = 15_000;

/** Sends what the sources tell until one of them ends or the reader has gone. */
export function streamEvents(
  response: ServerResponse,
  sources: ReadonlyMap<string, EventSource<InspectionEvent>>,
): void {
  response.writeHead(200, { "content-type": "text/event-stream; charset=utf-8" });
  const subscriptions: { unsubscribe(): void }[] = [];
  const heartbeat = setInterval(() => response.write(": here\n\n"), HEARTBEAT_MS);
  const close = (): void => {
    clearInterval(heartbeat);
    for (const subscription of subscriptions.splice(0)) subscription.unsubscribe();
  };
  const end = (reason: string): void => {
    close();
    const last: StreamEnd = { reason };
    if (!response.writableEnded) response.end(`event: end\ndata: ${JSON.stringify(last)}\n\n`);
  };
  response.on("close", close);
  response.write(": here\n\n");
  for (const [from, source] of sources) {
    if (response.writableEnded) return;
    const subscription = source.subscribe({
      next: (event) => {
        if (response.writableEnded) return;
        const message: StreamMessage = { from, event };
        response.write(`data: ${JSON.stringify(message)}\n\n`);
        if (response.writableLength > MAX_WAITING) end("the page was too slow");
      },
      error: (error) => end(reasonOf(error)),
      complete: () => end("the daemon has ended the stream"),
    });
    if (response.writableEnded) subscription.unsubscribe();
    else subscriptions.push(subscription);
  }
}

/** Sends bytes as they come; begins when the first ones are there, so that an error can still be told. */
export function streamBytes(
  response: ServerResponse,
  source: EventSource<Uint8Array>,
  failed: (error: unknown) => void,
): void {
  const begin = (): void => {
    if (!response.headersSent) response.writeHead(200, { "content-type": "text/plain; charset=utf-8" });
  };
  const subscription = source.subscribe({
    next: (bytes) => {
      begin();
      response.write(bytes);
      if (response.writableLength > MAX_WAITING) response.destroy();
    },
    error: (error) => {
      if (response.headersSent) response.destroy();
      else failed(error);
    },
    complete: () => {
      begin();
      response.end();
    },
  });
  // a log may be silent for hours
  response.setTimeout(0);
  response.on("close", () => subscription.unsubscribe());
}
