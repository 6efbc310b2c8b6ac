/**
 * What the reconciler does, while no daemon runs: journals against the host.
 *
 * What needs a keeper, a guest or a daemon is left to the next one, which takes over what it can. Never ends a pod: only what
 * no journal names is removed, under the daemon's own lock.
 */
import { lstat } from "node:fs/promises";
import { readClaims } from "../../actors/reconcile/claims.ts";
import { looksAt } from "../../actors/reconcile/looks.ts";
import { Reconciler } from "../../actors/reconcile/reconciler.actor.ts";
import { OpenJournals } from "../../actors/resources/journal/open-journals.ts";
import type { ResourcePorts } from "../../actors/resources/kinds/kind.ts";
import { blazarError } from "../../contracts/errors.ts";
import { silentLogger } from "../../contracts/logger.ts";
import type { Reconciliation } from "../../contracts/reconcile.ts";
import type { Config } from "../../daemon/config/schema.ts";
import { DaemonWorkers } from "../../daemon/daemon-workers.ts";
import { checkStateDirectory, controllerSocket, journalDirectory } from "../../daemon/state-directories.ts";
import { lockState } from "../../daemon/state-lock.ts";
import { ownGroupOf } from "../../host/cgroups/hierarchies.ts";
import { HostCgroups } from "../../host/cgroups/host-cgroups.ts";
import { HostNodeView } from "../../host/node-view.ts";
import { LocalHostFiles } from "../../host/storage/host-files.ts";
import { ImageFiles } from "../../host/storage/images/image-files.ts";
import { ownDirectory } from "../../host/storage/own-directory.ts";
import { LocalVolumes } from "../../host/volumes/host-volumes.ts";
import { ContainerdSandboxes } from "../../rpc/containerd/sandboxes.ts";

/** What can be seen and undone without a keeper. */
const LOOKS = ["cgroups", "directory", "mount", "file", "disk", "image", "journal"];

/**
 * @throws BlazarError DaemonRunning: with `fix`, while a daemon that does not answer has the state directory; HostResource: it
 * is no daemon's
 */
export async function reconcileWithoutDaemon(config: Config, fix: boolean): Promise<Reconciliation> {
  const { state_directory: state } = config.daemon;
  const journals = journalDirectory(config);
  await checkStateDirectory(state);
  if ((await lstat(journals).catch(() => undefined)) === undefined) return { differences: [], unknown: [] };
  const lock = fix ? await lockState(state) : undefined;
  const workers = new DaemonWorkers(config, silentLogger);
  const store = new ContainerdSandboxes({
    socket: config.daemon.containerd_socket,
    controller: controllerSocket(config),
    deadlines: config.deadlines,
  });
  try {
    const images = new ImageFiles(config.image.directory, state);
    const undo = undoing(workers, images);
    const all = looksAt({
      ...{ undo, now: Date.now, stateDirectory: state, startTime: 0, isConnected: () => true },
      view: new HostNodeView({
        workers: workers.rootfs,
        users: { firstUid: config.vmm.first_uid, count: config.vmm.uid_count },
        ownGroup: ownGroupOf(state),
      }),
      keeper: {
        pid: 0,
        connected: false,
        inventory: () => ({ processes: [], stdio: [] }),
        closeStdio: needsDaemon,
      },
      images: { held: () => images.allOwn() },
      storedSandboxes: async () => new Set((await store.list()).map(({ id }) => id)),
      ownScratch: () => ownDirectory(config.storage.scratch_directory, state),
    });
    const looks = Object.fromEntries(Object.entries(all).filter(([kind]) => LOOKS.includes(kind)));
    const claims = () => readClaims(journals, new OpenJournals(), true);
    const { deadlines } = config;
    const reconciler = new Reconciler({
      ...{ looks, claims, undo, deadlines },
      logger: silentLogger,
      now: Date.now,
    });
    return await reconciler.reconcile(fix);
  } finally {
    store.close();
    await workers.close();
    await lock?.release();
  }
}

function undoing(workers: DaemonWorkers, images: ImageFiles): ResourcePorts {
  return {
    files: new LocalHostFiles(workers.rootfs),
    images: { release: (key, holder) => images.release(key, holder) },
    cgroups: new HostCgroups(),
    volumes: new LocalVolumes(workers.rootfs),
    networks: { disconnect: needsDaemon },
    rootfs: { release: needsDaemon },
    keeper: {
      inventory: () => ({ processes: [], stdio: [] }),
      ...{ signal: needsDaemon, exited: needsDaemon, forget: needsDaemon, openStdio: needsDaemon },
    },
  };
}

function needsDaemon(): Promise<never> {
  const remedy = "start the daemon";
  return Promise.reject(blazarError("Unimplemented", "undo it", "that takes a daemon", { remedy }));
}
