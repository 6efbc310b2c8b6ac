/**
 * What the daemon tells: the summaries of all sandboxes, and the entries of those that are looked at.
 *
 * Five hundred sandboxes can change at once: the list is published once a frame at most. After a reset, a sandbox that is not
 * told again goes away a moment later, so that the list does not flicker.
 */
import type { HistoryEntry, InspectionEvent, SandboxSummary } from "../../src/contracts/inspection.ts";
import { Store } from "./store.ts";
import { type Connection, Stream } from "./stream.ts";

export interface SandboxListener {
  entry(entry: HistoryEntry): void;
  changed(): void;
}

const RESET_MS = 400;
/** So often the list is published at most. */
const PUBLISH_MS = 100;

export class Live {
  readonly sandboxes = new Store<readonly SandboxSummary[]>([]);
  readonly connection = new Store<Connection>({ state: "connecting" });
  private readonly known = new Map<string, SandboxSummary>();
  private readonly listeners = new Map<string, Set<SandboxListener>>();
  private unconfirmed = new Set<string>();
  private publishing = false;
  private opening = false;
  private readonly stream: Stream;

  constructor() {
    this.stream = new Stream({
      told: (from, event) => this.told(from, event),
      connection: (connection) => this.connection.set(connection),
    });
  }

  /** Opens the stream. */
  start(): void {
    this.open();
  }

  /** Told of a sandbox's entries until the returned function is called. */
  follow(id: string, listener: SandboxListener): () => void {
    const listeners = this.listeners.get(id) ?? new Set();
    const isFirst = listeners.size === 0;
    this.listeners.set(id, listeners.add(listener));
    if (isFirst) this.open();
    return () => {
      listeners.delete(listener);
      if (listeners.size > 0) return;
      this.listeners.delete(id);
      this.open();
    };
  }

  /** A page that is left and the one that is entered make one stream together. */
  private open(): void {
    if (this.opening) return;
    this.opening = true;
    setTimeout(() => {
      this.opening = false;
      this.stream.open([...this.listeners.keys()]);
    }, 0);
  }

  private told(from: string, event: InspectionEvent): void {
    if (from === "fleet") return this.toldOfFleet(event);
    for (const listener of this.listeners.get(from) ?? []) {
      if (event.type === "entry") listener.entry(event.entry);
      else listener.changed();
    }
  }

  private toldOfFleet(event: InspectionEvent): void {
    if (event.type === "reset") return this.reset();
    if (event.type === "summary") {
      this.unconfirmed.delete(event.summary.id);
      this.known.set(event.summary.id, event.summary);
    }
    if (event.type === "forgotten") this.known.delete(event.sandboxId);
    this.publish();
  }

  private reset(): void {
    const old = new Set(this.known.keys());
    this.unconfirmed = old;
    setTimeout(() => {
      if (this.unconfirmed !== old) return;
      for (const id of old) this.known.delete(id);
      this.publish();
    }, RESET_MS);
  }

  private publish(): void {
    if (this.publishing) return;
    this.publishing = true;
    setTimeout(() => {
      this.publishing = false;
      this.sandboxes.set([...this.known.values()]);
    }, PUBLISH_MS);
  }
}

export const live = new Live();
