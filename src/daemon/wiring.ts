/**
 * The composition root of blazard: keeper, events, the actors (core.ts) and the servers that containerd calls.
 *
 * Nothing is decided here but who talks to whom, and in which order everything starts and ends.
 */
import { join } from "node:path";
import { pino } from "pino";
import { ImagesAhead } from "../actors/images/images-ahead.actor.ts";
import { NO_HISTORIES } from "../contracts/history.ts";
import type { Keeper } from "../contracts/keeper.ts";
import type { Logger } from "../contracts/logger.ts";
import type { VmmFacts } from "../contracts/vmm.ts";
import { BoundedLogs } from "../host/bounded-logs.ts";
import { within } from "../lib/async.ts";
import { harmlessJson } from "../lib/harmless.ts";
import { MetricsFile } from "../observe/metrics-file.ts";
import { ControllerServer } from "../rpc/controller/server.ts";
import { EventPublisher } from "../rpc/events/publisher.ts";
import { createTaskService } from "../rpc/task/service.ts";
import { TtrpcDispatcher } from "../rpc/ttrpc/dispatcher.ts";
import { TurnBudget } from "../rpc/turn-budget.ts";
import type { Config } from "./config/schema.ts";
import { type Core, type CoreOptions, wireCore } from "./core.ts";
import { InspectionPart, openHistories } from "./inspection.ts";
import { locateParts } from "./parts/parts.ts";
import { succeedPreviousDaemon } from "./previous-daemon.ts";
import { reachKeeper } from "./reach-keeper.ts";
import { openReconciler } from "./reconciling.ts";
import { makeRehearsalImage, makeRehearsalRoot } from "./rehearsal-root.ts";
import type { Daemon } from "./serve.ts";
import {
  controllerSocket,
  journalDirectory,
  takeStateDirectories,
  taskSocketOf,
} from "./state-directories.ts";
import { openSnapshots, readLower } from "./stores/snapshots.ts";
import { announceUsers } from "./user-ranges.ts";

/** Calls of the Controller that are under way may take this long when the daemon leaves; then they are called off. */
const CALLS_MS = 300;
/** Ending warm VMs, and then each part, may take this long. What is left is in journals, for the next daemon. */
const ENDS_MS = 1_000;
const PARTS_MS = 300;

/**
 * The whole of blazard.
 * @param replaced ports that are something else than usual; the benchmark measures the daemon on a fake driver
 */
export async function wireDaemon(
  config: Config,
  replaced: Pick<CoreOptions, "driver"> = {},
): Promise<Daemon> {
  const state = config.daemon.state_directory;
  const socket = controllerSocket(config);
  const taskSocket = taskSocketOf(config);
  const logger: Logger = pino(
    { level: config.daemon.log_level, base: {}, hooks: { streamWrite: harmlessJson } },
    pino.destination({ dest: 2, sync: false }),
  );
  const parts = await locateParts(config);
  const lock = await takeStateDirectories(config);
  const keeper = await reachKeeper(config, parts.keeper, taskSocket, logger);
  const events = new EventPublisher({ socket: config.daemon.containerd_socket, logger });
  const templates = config.template.enabled;
  const hub = openHistories(config, logger);
  const histories = hub ?? NO_HISTORIES;
  const core = wireCore({ config, parts, logger, keeper, events, templates, histories, ...replaced });
  const reconciling = await openReconciler(config, core, keeper, logger);
  const inspection = hub && new InspectionPart(config, core, keeper, hub, reconciling.reconciler, logger);
  const ahead = imagesAhead(config, core, logger);
  const turns = new TurnBudget();
  const taskAddress = `ttrpc+unix://${taskSocket}`;
  const { sandboxes, tasks } = core;
  const details = (id: string) => inspection?.inspection.detailNow(id);
  const controller = new ControllerServer({ sandboxes, taskAddress, logger, turns, histories, details });
  if (inspection !== undefined) inspection.socketTroubles = () => [controller.trouble];
  const dispatcher = new TtrpcDispatcher(
    [createTaskService(tasks, histories, () => `${keeper.pid}`)],
    logger,
  );
  const metrics = new MetricsFile({ file: join(state, "metrics.json"), parts: metricsOf(core), logger });
  const logs = new BoundedLogs(state);
  return {
    logger,
    async start() {
      metrics.open();
      logs.start();
      const { first_uid: firstUid, uid_count: count } = config.vmm;
      if (process.getuid?.() === 0) await announceUsers({ firstUid, count }, state, logger);
      const probed = core.driver.probe();
      probed.catch(() => undefined);
      const { taken, cleared } = await succeedPreviousDaemon(journalDirectory(config), core, keeper, logger);
      // pods that run need nothing new of the VMM; a node that could make none is told before it takes any
      if (taken === 0) await probed;
      keeper.onTaskMessage((message, context) => turns.run(() => dispatcher.handleMessage(message, context)));
      await inspection?.start();
      await controller.listen(socket);
      const vmm = core.driver.name;
      logger.info({ socket, taskSocket, vmm, pods: taken }, "blazard is ready");
      const left = await cleared;
      reconciling.start(left);
      if (!(await canMakeVms(probed, logger))) return;
      if (config.pool.max > 0 || core.original !== undefined) {
        await makeRehearsalRoot(config, parts.busybox);
        await makeRehearsalImage(config, core.images, logger);
      }
      core.pool.start();
      await core.original?.start();
      ahead?.start();
    },
    async leave() {
      // pods are served meanwhile
      const ends = [core.pool.close(), core.original?.close(), ahead?.close(), reconciling.close()];
      await within(Promise.all(ends), ENDS_MS);
      // the keeper gives them to the next daemon, and those without an answer as well
      keeper.onTaskMessage(() => new Promise(() => undefined));
      await controller.drain(CALLS_MS);
      await within(
        Promise.all([inspection?.close(), events.close(), metrics.close(), core.close()]),
        PARTS_MS,
      );
      // a link that is closed in order would be the loss of every VM; the end of this process is none
      if (config.keeper.start && holdsNothing(keeper))
        await within(keeper.shutdown(), PARTS_MS).catch((err: unknown) =>
          logger.debug({ err }, "the keeper stays"),
        );
      await lock.release();
    },
  };
}

/** False: no pod can be started, and those that run go on. A pod's start tries it again. */
async function canMakeVms(probed: Promise<VmmFacts>, logger: Logger): Promise<boolean> {
  try {
    await probed;
    return true;
  } catch (err) {
    logger.error({ err }, "no VM can be made; nothing is made ahead until a restart");
    return false;
  }
}

/** What makes images before a pod asks for them; undefined where none are made. */
function imagesAhead(config: Config, { images, pace }: Core, logger: Logger) {
  if (!config.image.enabled || !config.image.ahead) return undefined;
  const snapshots = openSnapshots(config, logger);
  const { deadlines } = config;
  const ports = { snapshots, images, pace, readLower, deadlines, logger, now: Date.now };
  const actor = new ImagesAhead(ports, { existing: config.image.ahead_existing });
  return {
    start: () => actor.start(),
    async close(): Promise<void> {
      await actor.close();
      snapshots.close();
    },
  };
}

function holdsNothing(keeper: Keeper): boolean {
  const { processes, stdio } = keeper.inventory();
  return processes.length === 0 && stdio.length === 0;
}

function metricsOf({ sandboxes, pool, original }: Core) {
  return {
    sandboxes: () => sandboxes.size,
    pool: () => ({ warm: pool.isFull, size: pool.size }),
    forks: () => ({ wanted: original?.isWanted === true, ready: original?.isThere === true }),
  };
}
