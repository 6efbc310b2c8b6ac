/**
 * Metrics and traces of a daemon that keeps histories: what hears of them, and where they are served or sent.
 *
 * What the configuration does not ask for is not loaded. A port of the loopback and a collector need the histories, so they
 * are refused where inspection is off.
 */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { blazarError } from "../../contracts/errors.ts";
import type { Keeper } from "../../contracts/keeper.ts";
import type { Logger } from "../../contracts/logger.ts";
import { loopbackAddress } from "../../lib/sockets/loopback.ts";
import type { HistoryHub } from "../../observe/history/hub.ts";
import type { DaemonInspection } from "../../observe/inspection/daemon-inspection.ts";
import { MetricsEndpoint } from "../../observe/metrics/endpoint.ts";
import { Metrics, type MetricsPage } from "../../observe/metrics/metrics.ts";
import type { PartFigures } from "../../observe/metrics/parts.ts";
import type { Traces } from "../../observe/traces/traces.ts";
import type { Config } from "../config/schema.ts";
import { type PartSources, partFigures } from "./part-figures.ts";

export interface ObservingOptions {
  readonly config: Pick<Config, "metrics" | "traces">;
  readonly hub: HistoryHub;
  readonly inspection: Pick<DaemonInspection, "node" | "list" | "failureOf" | "watcherCount" | "stuckCounts">;
  readonly core: PartSources;
  readonly keeper: Keeper;
  readonly version: string;
  readonly reconcile: () => PartFigures["reconcile"];
  readonly logger: Logger;
}

/** Running metrics and traces. */
export interface Observing {
  /** What `GET /metrics` is answered with. */
  page(): Promise<MetricsPage>;
  close(): Promise<void>;
}

/** @throws BlazarError `PortInUse`, `HostResource` */
export async function startObserving(options: ObservingOptions): Promise<Observing> {
  const { config, hub, inspection, core, keeper, logger } = options;
  const traces = await configuredTraces(options);
  const parts = partFigures(core, keeper, {
    watchers: () => inspection.watcherCount,
    stuck: () => inspection.stuckCounts.total,
    spans: () => traces?.counts,
    reconcile: options.reconcile,
  });
  const metrics = new Metrics({
    inspection,
    parts,
    mostPods: config.metrics.pods,
    failureOf: (id) => inspection.failureOf(id),
  });
  const leave = [hub.listen(metrics.listener)];
  if (traces !== undefined) leave.push(hub.listen(traces.listener));
  const page = () => metrics.page();
  const endpoint = await configuredEndpoint(config.metrics.listen, page, logger);
  return {
    page,
    async close() {
      for (const each of leave) each();
      metrics.close();
      await endpoint?.close();
      await traces?.close();
    },
  };
}

/** Throws InvalidConfig for what needs the histories, where there are none. */
export function refuseObserving(config: Pick<Config, "metrics" | "traces">): void {
  const keys = { "metrics.listen": config.metrics.listen, "traces.endpoint": config.traces.endpoint };
  const [asked] = Object.entries(keys).find(([, value]) => value !== undefined) ?? [];
  if (asked === undefined) return;
  const reason = "it is made of the history, which inspection.enabled = false switches off";
  throw blazarError("InvalidConfig", "observe the daemon", reason, { subject: asked });
}

async function configuredEndpoint(
  listen: string | undefined,
  page: () => Promise<MetricsPage>,
  logger: Logger,
): Promise<MetricsEndpoint | undefined> {
  const address = listen === undefined ? undefined : loopbackAddress(listen);
  if (address === undefined) return undefined;
  const endpoint = new MetricsEndpoint(page, logger);
  const port = await endpoint.listen(address);
  logger.info({ host: address.host, port }, "metrics are served on a port of the loopback");
  return endpoint;
}

async function configuredTraces(options: ObservingOptions): Promise<Traces | undefined> {
  const { config, hub, version, logger } = options;
  const { endpoint, ratio } = config.traces;
  if (endpoint === undefined) return undefined;
  // a bundle of its own (setup/lib/dist.ts): OpenTelemetry's SDK takes 5 MB
  const { startTraces } = await import("../../observe/traces/traces.ts");
  logger.info({ endpoint }, "traces are sent to a collector");
  return startTraces({
    ...{ endpoint, version, logger, ratio: ratio / 100 },
    node: hostname(),
    instance: randomUUID(),
    podOf: (id) => hub.find(id)?.pod,
  });
}
