/**
 * The metrics of the daemon: what the history has counted, and what is read when somebody scrapes.
 *
 * A scrape costs a few milliseconds and is made once for all who ask meanwhile. Between scrapes nothing is read; before the
 * first one not even the event loop is watched.
 */
import type { Inspection, NodeStatus, SandboxSummary } from "../../contracts/inspection.ts";
import type { SandboxPhase } from "../../contracts/sandbox.ts";
import { CONTENT_TYPE, exposition } from "./exposition.ts";
import { HistoryCounts } from "./history-counts.ts";
import { LoopDelays } from "./loop-delays.ts";
import { type PartFigures, tellParts } from "./parts.ts";
import { tellProcess } from "./process.ts";
import { MetricStore } from "./store.ts";
import { tellVmms } from "./vmm-overhead.ts";

export interface MetricsOptions {
  readonly inspection: Pick<Inspection, "node" | "list">;
  readonly parts: () => PartFigures | Promise<PartFigures>;
  /** Pods that have series of their own. */
  readonly mostPods: number;
  /** The code of why a sandbox goes down; undefined if it was asked to. */
  readonly failureOf: (sandboxId: string) => string | undefined;
}

/** What a scrape is answered with. */
export interface MetricsPage {
  readonly contentType: string;
  readonly text: string;
}

const PHASES: Readonly<Record<SandboxPhase, true>> = {
  creating: true,
  created: true,
  booting: true,
  ready: true,
  stopping: true,
  stopped: true,
  failed: true,
};

const MILLISECONDS = 1000;

export class Metrics {
  /** Hears of everything that happens. */
  readonly listener: HistoryCounts;
  private readonly store = new MetricStore();
  private readonly loopDelays = new LoopDelays((seconds) =>
    this.store.observe("blazar_event_loop_delay_seconds", {}, seconds),
  );
  private scraping: Promise<MetricsPage> | undefined;

  constructor(private readonly options: MetricsOptions) {
    this.listener = new HistoryCounts(this.store, options.failureOf);
  }

  /** The page that Prometheus reads. */
  page(): Promise<MetricsPage> {
    this.scraping ??= this.scrape().finally(() => {
      this.scraping = undefined;
    });
    return this.scraping;
  }

  close(): void {
    this.loopDelays.stop();
  }

  private async scrape(): Promise<MetricsPage> {
    this.loopDelays.start();
    const { inspection, parts, mostPods } = this.options;
    const sandboxes = inspection.list().filter(({ endedAt }) => endedAt === undefined);
    this.tellSandboxes(inspection.node(), sandboxes);
    const figures = await parts();
    tellParts(this.store, figures);
    this.tellFloods(sandboxes, figures.guestLinks);
    tellProcess(this.store);
    const pods = sandboxes.map(({ pod, pid }) => ({ ...pod, pid }));
    await tellVmms(this.store, pods, mostPods);
    return { contentType: CONTENT_TYPE, text: exposition(this.store) };
  }

  private tellFloods(sandboxes: readonly SandboxSummary[], { heldMs }: PartFigures["guestLinks"]): void {
    this.store.clear("blazar_guest_link_held_seconds_total");
    for (const { id, pod } of sandboxes) {
      const ms = heldMs.get(id);
      const { namespace, name } = pod;
      if (ms !== undefined)
        this.store.set("blazar_guest_link_held_seconds_total", { namespace, pod: name }, ms / MILLISECONDS);
    }
  }

  private tellSandboxes(node: NodeStatus, sandboxes: readonly SandboxSummary[]): void {
    const { store } = this;
    const { version, vmm, acceleration } = node;
    store.set("blazar_build_info", { version, vmm, acceleration }, 1);
    for (const phase of Object.keys(PHASES))
      store.set("blazar_sandboxes", { phase }, sandboxes.filter((each) => each.phase === phase).length);
    store.set("blazar_sandboxes_stuck", {}, node.stuck);
    const containers = sandboxes.reduce((sum, each) => sum + each.containers, 0);
    store.set("blazar_containers", {}, containers);
    store.set("blazar_pool_vms", {}, node.pool.warm);
    store.set("blazar_pool_wanted_vms", {}, node.pool.wanted);
  }
}
