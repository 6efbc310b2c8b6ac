/**
 * Puts the reconciler together: its looks at this host and at containerd, and what the journals say.
 */
import { readClaims } from "../actors/reconcile/claims.ts";
import { lookAtLeftJournals } from "../actors/reconcile/left-journals.ts";
import { looksAt } from "../actors/reconcile/looks.ts";
import { Reconciler } from "../actors/reconcile/reconciler.actor.ts";
import { lookAtSandboxes } from "../actors/reconcile/sandboxes.ts";
import type { Keeper } from "../contracts/keeper.ts";
import type { Logger } from "../contracts/logger.ts";
import { ownGroupOf } from "../host/cgroups/hierarchies.ts";
import { HostNodeView } from "../host/node-view.ts";
import { ownDirectory } from "../host/storage/own-directory.ts";
import { processStat } from "../lib/processes/processes.ts";
import { ContainerdSandboxes } from "../rpc/containerd/sandboxes.ts";
import type { Config } from "./config/schema.ts";
import type { Core } from "./core.ts";
import { controllerSocket, journalDirectory } from "./state-directories.ts";

/** What the daemon drives. */
export interface Reconciliations {
  readonly reconciler: Reconciler;
  /** After the recovery. @param left journals that it could not undo whole */
  start(left: readonly string[]): void;
  close(): Promise<void>;
}

/** Looks at nothing before it is started or asked. */
export async function openReconciler(
  config: Config,
  core: Core,
  keeper: Keeper,
  logger: Logger,
): Promise<Reconciliations> {
  const { daemon, deadlines, storage, vmm } = config;
  const { journals, resourcePorts: undo, sandboxes, stranded, images, workers } = core;
  const now = Date.now;
  const store = new ContainerdSandboxes({
    socket: daemon.containerd_socket,
    controller: controllerSocket(config),
    deadlines,
  });
  const users = { firstUid: vmm.first_uid, count: vmm.uid_count };
  const state = daemon.state_directory;
  const left: string[] = [];
  const looks = {
    ...looksAt({
      ...{ keeper, images, undo, now },
      view: new HostNodeView({ workers: workers.rootfs, users, ownGroup: ownGroupOf(state) }),
      stateDirectory: state,
      ownScratch: () => ownDirectory(storage.scratch_directory, state),
      storedSandboxes: async () => new Set((await store.list()).map(({ id }) => id)),
      isConnected: (path) => journals.some((each) => each.kind === "network" && each.netnsPath === path),
      startTime: (await processStat(process.pid))?.startTime ?? 0,
    }),
    left: lookAtLeftJournals(left, undo, journals),
    sandbox: lookAtSandboxes({ store, sandboxes, sandboxer: daemon.sandboxer, now }),
  };
  const claims = () => readClaims(journalDirectory(config), journals, false, stranded.size > 0);
  const reconciler = new Reconciler({
    ...{ looks, claims, undo, deadlines, now },
    logger: logger.child({ component: "reconciler" }),
  });
  return {
    reconciler,
    start(paths) {
      left.push(...paths);
      reconciler.start(config.reconcile.interval);
    },
    async close() {
      await reconciler.close();
      store.close();
    },
  };
}
