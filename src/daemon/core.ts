/**
 * The actors on their real ports: what a daemon and a standalone run have in common.
 *
 * Nothing is decided here but which port is which. How the actors are put together is in actors.ts.
 */
import { randomBytes } from "node:crypto";
import { availableParallelism, cpus, hostname, totalmem } from "node:os";
import { join } from "node:path";
import type { GuestTraffic } from "../actors/guest/link.ts";
import type { StdioHost } from "../actors/guest/stdio-relay.ts";
import { FileJournal } from "../actors/resources/journal/journal.ts";
import { OpenJournals } from "../actors/resources/journal/open-journals.ts";
import type { TemplateGuestHost } from "../actors/supply/ahead/template-guest.ts";
import { Pace } from "../actors/supply/pace.ts";
import { VmUsers } from "../actors/vm/users.ts";
import { type Histories, NO_HISTORIES } from "../contracts/history.ts";
import type { ImageStore } from "../contracts/images.ts";
import type { Keeper } from "../contracts/keeper.ts";
import type { Logger } from "../contracts/logger.ts";
import type { SeccompCompiler } from "../contracts/seccomp.ts";
import type { Cgroups, LayerImages, RootfsStore } from "../contracts/storage.ts";
import type { TaskEvents } from "../contracts/task.ts";
import type { TemplateStore } from "../contracts/templates.ts";
import type { VmShape } from "../contracts/vm.ts";
import type { VmmDriver } from "../contracts/vmm.ts";
import { ownGroupOf } from "../host/cgroups/hierarchies.ts";
import { HostCgroups } from "../host/cgroups/host-cgroups.ts";
import { CniNetworks } from "../host/network/cni-networks.ts";
import { NoNetwork } from "../host/network/no-network.ts";
import { NodePodNetworks } from "../host/network/pod-networks.ts";
import { SteeredPortForwards } from "../host/network/port-forward.ts";
import { CompiledProfiles } from "../host/seccomp/compiled-profiles.ts";
import { KeeperFileServers } from "../host/storage/file-servers.ts";
import { LocalHostFiles } from "../host/storage/host-files.ts";
import { HostLayerImages } from "../host/storage/layer-images.ts";
import { HostRootfsStore } from "../host/storage/rootfs-store.ts";
import { LocalVolumes } from "../host/volumes/host-volumes.ts";
import { PatientTasks } from "../host/volumes/patient-tasks.ts";
import { monotonicNow } from "../lib/deadline-timer.ts";
import { keptText } from "../lib/kept-text.ts";
import { nodeText } from "../lib/text.ts";
import { ociSpecs } from "../oci/spec/translate.ts";
import { type Actors, wireActors } from "./actors.ts";
import type { Config } from "./config/schema.ts";
import { DaemonWorkers } from "./daemon-workers.ts";
import { configuredDriver } from "./drivers.ts";
import { hostNetworks } from "./host-networks.ts";
import { nicsOf } from "./nics.ts";
import type { Parts } from "./parts/parts.ts";
import { rehearsalRoot } from "./rehearsal-root.ts";
import { journalDirectory } from "./state-directories.ts";
import { openImageStore } from "./stores/image-store.ts";
import { openTemplateStore } from "./stores/template-store.ts";
import { memoryPressure } from "./tuning/memory-pressure.ts";

const SESSION_BYTES = 16;

/** What a daemon and a standalone run share. */
export interface Core extends Actors {
  readonly pace: Pace;
  /** The store of layer images. */
  readonly images: ImageStore;
  /** The store of templates; undefined where every VM boots. */
  readonly templates: TemplateStore | undefined;
  readonly workers: DaemonWorkers;
  readonly journals: OpenJournals;
  /** Bytes of all links to guests. */
  readonly traffic: GuestTraffic;
  /** What makes templates, for commands that work on them. */
  readonly templateHost: TemplateGuestHost & { readonly driver: VmmDriver; readonly defaultShape: VmShape };
  /** Ends what makes templates, and worker threads. */
  close(): Promise<void>;
}

/** What differs between a daemon and a standalone run. */
export interface CoreOptions {
  readonly config: Config;
  readonly parts: Parts;
  readonly logger: Logger;
  readonly keeper: Keeper;
  readonly events: TaskEvents;
  /** Default: the one of the configuration. */
  readonly driver?: VmmDriver;
  /** Default: the keeper's FIFOs. */
  readonly stdio?: StdioHost;
  /** Default: containerd's snapshots, mounted by workers. */
  readonly rootfs?: (layers: LayerImages) => RootfsStore;
  /** Default: those of the host. */
  readonly cgroups?: Cgroups;
  /** Default: nothing is recorded. */
  readonly histories?: Histories;
  /** Whether VMs are cloned from templates. Default: no, every VM boots. */
  readonly templates?: boolean;
}

/** Puts the actors on their ports. Starts nothing. */
export function wireCore(options: CoreOptions): Core {
  const { config, logger } = options;
  const workers = new DaemonWorkers(config, logger);
  const seccomp = new CompiledProfiles(workers.seccomp);
  const images = openImageStore(config, { ...options, workers, seccomp });
  const ports = hostPorts(options, workers, { images, seccomp });
  const templates = options.templates ? openTemplateStore(config.template, ports) : undefined;
  const { min, max, memory_limit: memoryLimit, pressure_limit: pressureLimit } = config.pool;
  const pool = { ...{ min, max, memoryLimit, pressureLimit }, rehearsalRoot: rehearsalRoot(config) };
  const actors = wireActors({ ...ports, templates, pressure: memoryPressure }, pool);
  const close = async (): Promise<void> => {
    await templates?.close();
    await images.close();
    await workers.close();
  };
  const { pace, traffic, journals } = ports;
  return { ...actors, pace, journals, images, templates, workers, traffic, templateHost: ports, close };
}

/** The ports, and the settings that go with them. */
function hostPorts(
  options: CoreOptions,
  workers: DaemonWorkers,
  { images, seccomp }: { readonly images: ImageStore; readonly seccomp: SeccompCompiler },
) {
  const { config, parts, logger, keeper, events } = options;
  const driver = options.driver ?? configuredDriver({ config, parts, logger, keeper, workers, seccomp });
  const { first_uid: firstUid, uid_count: uidCount, vcpus, memory: memoryBytes } = config.vmm;
  const { vcpus_limit: mostVcpus = cpus().length, memory_limit: mostMemory = totalmem() } = config.vmm;
  // the last of the users is for VMs that are no sandbox's
  const users = process.getuid?.() === 0 ? new VmUsers(firstUid, uidCount - 1) : undefined;
  const hostResolvConf = keptText("/etc/resolv.conf");
  const journals = new OpenJournals();
  const cgroups = options.cgroups ?? new HostCgroups({ ownGroup: ownGroupOf(config.daemon.state_directory) });
  return {
    driver,
    pace: new Pace(parallelStarts(config), monotonicNow),
    keeper,
    stdio: options.stdio ?? keeper,
    files: new LocalHostFiles(workers.rootfs),
    fileServers: new KeeperFileServers({ keeper, binary: parts.fileServer, seccomp }),
    rootfs:
      options.rootfs?.(new HostLayerImages(workers.rootfs, parts.emptyImage)) ??
      new HostRootfsStore({ workers: workers.rootfs, empty: parts.emptyImage, images }),
    images,
    cgroups,
    volumes: new LocalVolumes(workers.rootfs, {
      workers: workers.remoteVolumes,
      tasks: new PatientTasks({
        atOnce: config.storage.worker_threads,
        deadlineMs: config.deadlines.volumeLook,
      }),
    }),
    seccomp,
    forwards: new SteeredPortForwards(workers.rootfs),
    networks: new NodePodNetworks(
      new CniNetworks({ workers: workers.rootfs, keeper, logger }),
      hostNetworks(options, { users, workers, cgroups, hostResolvConf }) ?? new NoNetwork(),
    ),
    users,
    specs: ociSpecs,
    events,
    logger,
    deadlines: config.deadlines,
    stateDirectory: config.daemon.state_directory,
    journals,
    openJournal: (id: string) => {
      const path = join(journalDirectory(config), `${id}.jsonl`);
      return journals.track(path, FileJournal.create(path, id));
    },
    scratchDirectory: config.storage.scratch_directory,
    layerBytes: config.storage.layer_size,
    defaultShape: { vcpus, memoryBytes, nics: nicsOf(keeper) },
    // the node's own default counts, whatever the ceilings are
    mostSize: { vcpus: Math.max(vcpus, mostVcpus), memoryBytes: Math.max(memoryBytes, mostMemory) },
    memoryStep: config.vmm.memory_step,
    headroom: config.vmm.headroom,
    session: randomBytes(SESSION_BYTES).toString("hex"),
    text: nodeText,
    traffic: { received: 0, sent: 0, heldMs: new Map() },
    now: Date.now,
    histories: options.histories ?? NO_HISTORIES,
    randomHex: (bytes: number) => randomBytes(bytes).toString("hex"),
    hostResolvConf,
    hostHosts: keptText("/etc/hosts"),
    hostName: hostname,
  };
}

/** As many as there are cores, and one to fill their waits; fewer where memory would not do. */
function parallelStarts(config: Config): number {
  const fitting = Math.floor(totalmem() / config.vmm.memory);
  return Math.max(1, Math.min(availableParallelism() + 1, fitting));
}
