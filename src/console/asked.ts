/**
 * A daemon as the commands ask it: over its inspection socket, or a test's stand-in.
 */
import { BlazarError, type ErrorKind } from "../contracts/errors.ts";
import type { EventSource } from "../contracts/event-source.ts";
import type { InspectionEvent, SandboxSummary, WatchFilter } from "../contracts/inspection.ts";
import { onAbort, pause } from "../lib/async.ts";
import type { InspectionClient } from "../rpc/inspection/client.ts";
import { named } from "./named.ts";

export type Asked = Pick<InspectionClient, "node" | "list" | "get" | "charts" | "usage" | "watch" | "logs">;

/** Writes a part of the output. */
export type Write = (text: string) => void;

const GONE: ErrorKind = "unavailable";
const AGAIN_MS = 1_000;

/** The daemon cannot be reached: it may be about to start again. */
export function isGone(error: unknown): error is BlazarError {
  return error instanceof BlazarError && error.kind === GONE;
}

/** The sandbox that a word means; see named.ts. */
export async function find(daemon: Pick<Asked, "list">, word: string): Promise<SandboxSummary> {
  return named(await daemon.list(), word);
}

export interface Watching {
  /** Ends it. */
  readonly signal: AbortSignal;
  readonly onEvent: (event: InspectionEvent) => void;
  /** The daemon is away; it is asked again every second. Told once until it is back. */
  readonly onGone: (error: BlazarError) => void;
}

/** Watches until the signal aborts, through restarts of the daemon. Rejects if the daemon refuses. */
export async function keepWatching(
  daemon: Pick<Asked, "watch">,
  filter: WatchFilter,
  { signal, onEvent, onGone }: Watching,
): Promise<void> {
  let told = false;
  while (!signal.aborted) {
    try {
      await readSource(daemon.watch(filter), signal, (event) => {
        told = false;
        onEvent(event);
      });
      if (filter.sandboxId !== undefined) return;
    } catch (error) {
      if (!isGone(error)) throw error;
      if (!told) onGone(error);
      told = true;
    }
    await pause(AGAIN_MS, signal);
  }
}

/** Reads a source to its end, or until the signal aborts. Rejects with the source's error. */
export async function readSource<Event>(
  source: EventSource<Event>,
  signal: AbortSignal,
  next: (event: Event) => void,
): Promise<void> {
  // a signal that lives as long as the command must not keep a listener for each try
  let forget = (): void => undefined;
  await new Promise<void>((resolve, reject) => {
    const subscription = source.subscribe({ next, error: reject, complete: resolve });
    forget = onAbort(signal, () => {
      subscription.unsubscribe();
      resolve();
    });
  }).finally(() => forget());
}

/** What is known of the sandboxes, from what a watcher is told. */
export class Fleet {
  readonly sandboxes = new Map<string, SandboxSummary>();

  /** Returns the summary that is new or has changed. */
  take(event: InspectionEvent): SandboxSummary | undefined {
    if (event.type === "reset") this.sandboxes.clear();
    if (event.type === "forgotten") this.sandboxes.delete(event.sandboxId);
    if (event.type !== "summary") return undefined;
    this.sandboxes.set(event.summary.id, event.summary);
    return event.summary;
  }
}
