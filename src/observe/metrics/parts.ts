/**
 * What the parts of the daemon tell at each scrape: figures that nobody counts for metrics alone.
 *
 * The composition root says where they come from, so this knows no part.
 */
import type { MetricStore } from "./store.ts";

/** Of threads for one kind of task. */
interface WorkerFigures {
  readonly running: number;
  readonly queued: number;
  /** Threads that were started so far. */
  readonly started: number;
}

interface TurnFigures {
  readonly running: number;
  readonly queued: number;
}

/** What a store keeps on disk. */
export interface Kept {
  readonly count: number;
  readonly bytes: number;
}

export interface PartFigures {
  readonly originalReady: boolean;
  readonly turns: Readonly<Record<"starts" | "guests" | "provisions", TurnFigures>>;
  readonly workers: Readonly<Record<string, WorkerFigures>>;
  /** Bytes of the guest protocol, from guests and to them; milliseconds in which a guest was not read, by sandbox. */
  readonly guestLinks: {
    readonly received: number;
    readonly sent: number;
    readonly heldMs: ReadonlyMap<string, number>;
  };
  readonly keeper: {
    readonly connected: boolean;
    readonly linkLosses: number;
    readonly deaths: number;
    readonly processes: number;
    readonly residentBytes: number;
  };
  /** Of the inspection socket. */
  readonly watchers: number;
  /** Sandboxes that have become stuck so far. */
  readonly stuck: number;
  /** Undefined where there is no such store. */
  readonly images: Kept | undefined;
  readonly templates: Kept | undefined;
  /** Of the reconciler: what is open now, and what it did and could not do so far, by kind. */
  readonly reconcile: {
    readonly open: number;
    readonly done: ReadonlyMap<string, number>;
    readonly failed: ReadonlyMap<string, number>;
  };
  /** Spans; undefined where traces are off. */
  readonly spans: Readonly<Record<"exported" | "dropped" | "failed", number>> | undefined;
}

export function tellParts(store: MetricStore, figures: PartFigures): void {
  const { turns, workers, guestLinks, images, templates, spans } = figures;
  store.set("blazar_original_ready", {}, Number(figures.originalReady));
  for (const [kind, { running, queued }] of Object.entries(turns)) {
    store.set("blazar_turns", { kind, state: "running" }, running);
    store.set("blazar_turns", { kind, state: "queued" }, queued);
  }
  for (const [pool, { running, queued, started }] of Object.entries(workers)) {
    store.set("blazar_worker_tasks", { pool, state: "running" }, running);
    store.set("blazar_worker_tasks", { pool, state: "queued" }, queued);
    store.set("blazar_worker_threads_started_total", { pool }, started);
  }
  store.set("blazar_guest_link_bytes_total", { direction: "received" }, guestLinks.received);
  store.set("blazar_guest_link_bytes_total", { direction: "sent" }, guestLinks.sent);
  tellKeeper(store, figures.keeper);
  store.set("blazar_reconcile_differences", {}, figures.reconcile.open);
  for (const [kind, count] of figures.reconcile.done)
    store.set("blazar_reconcile_done_total", { kind }, count);
  for (const [kind, count] of figures.reconcile.failed)
    store.set("blazar_reconcile_failures_total", { kind }, count);
  store.set("blazar_inspection_watchers", {}, figures.watchers);
  store.set("blazar_sandboxes_stuck_total", {}, figures.stuck);
  if (images !== undefined) {
    store.set("blazar_images", {}, images.count);
    store.set("blazar_images_size_bytes", {}, images.bytes);
  }
  if (templates !== undefined) {
    store.set("blazar_templates", {}, templates.count);
    store.set("blazar_templates_size_bytes", {}, templates.bytes);
  }
  for (const [result, count] of Object.entries(spans ?? {}))
    store.set("blazar_trace_spans_total", { result }, count);
}

function tellKeeper(store: MetricStore, keeper: PartFigures["keeper"]): void {
  store.set("blazar_keeper_up", {}, Number(keeper.connected));
  store.set("blazar_keeper_link_losses_total", {}, keeper.linkLosses);
  store.set("blazar_keeper_deaths_total", {}, keeper.deaths);
  store.set("blazar_keeper_processes", {}, keeper.processes);
  store.set("blazar_keeper_resident_memory_bytes", {}, keeper.residentBytes);
}
