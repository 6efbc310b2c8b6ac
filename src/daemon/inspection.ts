/**
 * Puts the daemon's inspection together: histories, the port `Inspection`, and its socket.
 *
 * Where it is off, nothing of this is made, and the actors tell nobody.
 */
import { join } from "node:path";
import type { Reconciler } from "../actors/reconcile/reconciler.actor.ts";
import { SandboxLooks } from "../actors/sandbox/looks.ts";
import { SandboxDrain } from "../actors/sandbox/node-drain.ts";
import type { Keeper } from "../contracts/keeper.ts";
import type { Logger } from "../contracts/logger.ts";
import { fineClock } from "../lib/fine-clock.ts";
import { processStat } from "../lib/processes/processes.ts";
import { HistoryHub } from "../observe/history/hub.ts";
import { DaemonInspection } from "../observe/inspection/daemon-inspection.ts";
import { KeeperWatch } from "../observe/inspection/keeper-watch.ts";
import { Shortages } from "../observe/inspection/shortages.ts";
import { createDrainHandlers } from "../rpc/inspection/drain.ts";
import { createExecHandler } from "../rpc/inspection/exec.ts";
import { createReconcileHandler } from "../rpc/inspection/reconcile.ts";
import { InspectionServer } from "../rpc/inspection/server.ts";
import type { Config } from "./config/schema.ts";
import type { Core } from "./core.ts";
import { type Observing, refuseObserving, startObserving } from "./observing/observing.ts";

/** Of package.json; see setup/lib/version.ts. */
declare const BLAZAR_VERSION: string;

/** Undefined: inspection is off. */
export function openHistories(config: Config, logger: Logger): HistoryHub | undefined {
  const { enabled, kept_count: keptCount, kept_bytes: keptBytes } = config.inspection;
  if (!enabled) {
    refuseObserving(config);
    return undefined;
  }
  return new HistoryHub({ keptCount, keptBytes, now: fineClock(), logger });
}

/** Where operators' tools connect. */
function inspectionSocket(config: Config): string {
  return config.inspection.socket ?? join(config.daemon.state_directory, "inspection.sock");
}

/** The daemon's inspection, and its socket. */
export class InspectionPart {
  readonly inspection: DaemonInspection;
  readonly looks: SandboxLooks;
  /** Sentences about sockets that cannot be made anew. */
  socketTroubles: () => readonly string[] = () => [];
  private readonly keeperWatch: KeeperWatch;
  private readonly startedAt = Date.now();
  private server: InspectionServer | undefined;
  private observing: Observing | undefined;

  constructor(
    private readonly config: Config,
    private readonly core: Core,
    private readonly keeper: Keeper,
    private readonly hub: HistoryHub,
    private readonly reconciler: Reconciler,
    private readonly logger: Logger,
  ) {
    this.looks = new SandboxLooks(core.sandboxes, { now: hub.now, processTrouble });
    const { stuck_factor: stuckFactor, stuck_least: stuckLeastMs } = config.inspection;
    const keeperWatch = new KeeperWatch({ keeper, processTrouble, logger });
    this.keeperWatch = keeperWatch;
    const troubles = () => [keeperWatch.trouble, ...this.socketTroubles()].filter((text) => text !== "");
    this.inspection = new DaemonInspection({
      parts: {
        get troubles() {
          return troubles();
        },
        look: () => keeperWatch.look(),
      },
      ...{ hub, looks: this.looks, processTrouble, stuckFactor, stuckLeastMs, logger },
      shortages: new Shortages(watchedDirectories(config), hub.now),
      daemon: () => this.daemon(),
    });
  }

  async start(): Promise<void> {
    const { config, core, keeper, hub, inspection, looks, reconciler, logger } = this;
    const observing = await startObserving({
      ...{ config, core, keeper, hub, inspection, logger, version: BLAZAR_VERSION },
      reconcile: () => ({ open: reconciler.open, ...reconciler.counts }),
    });
    this.observing = observing;
    const pages = { "/metrics": () => observing.page() };
    const drain = createDrainHandlers(new SandboxDrain(core.sandboxes, logger));
    this.server = new InspectionServer({
      inspection,
      logger,
      pages,
      exec: createExecHandler(looks),
      drain,
      reconcile: createReconcileHandler(reconciler),
    });
    await this.server.listen(inspectionSocket(config));
  }

  async close(): Promise<void> {
    this.inspection.close();
    this.keeperWatch.close();
    await this.observing?.close();
    await this.server?.close();
  }

  private daemon() {
    const { startedAt, core, config } = this;
    const { name, facts } = core.driver;
    const pool = { warm: core.pool.size, wanted: config.pool.max };
    const vmm = facts === undefined ? name : `${name} ${facts.version}`;
    const { acceleration = "", kvm } = facts ?? {};
    return { version: BLAZAR_VERSION, startedAt, vmm, acceleration, kvm, pool };
  }
}

/** States of proc_pid_stat(5) that explain why a process does nothing. */
const TROUBLES: Readonly<Record<string, string>> = {
  T: "is stopped by a signal (state T)",
  t: "is stopped by a debugger (state t)",
  Z: "has ended and is not yet reaped (state Z)",
};

async function processTrouble(pid: number): Promise<string | undefined> {
  const stat = await processStat(pid);
  return TROUBLES[stat?.state ?? ""];
}

/** Whose file systems must have space, by the key that names them. */
function watchedDirectories({ daemon, storage, template, image }: Config): Readonly<Record<string, string>> {
  return {
    "daemon.state_directory": daemon.state_directory,
    "storage.scratch_directory": storage.scratch_directory,
    ...(template.enabled ? { "template.directory": template.directory } : {}),
    ...(image.enabled ? { "image.directory": image.directory } : {}),
  };
}
