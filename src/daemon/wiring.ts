/**
 * The composition root: the only module that knows every part and puts them together.
 *
 * `wireDaemon` is blazard as `serve` runs it. `wireCore` is what is common to the daemon and to a standalone run: the
 * actors on their ports. Nothing is decided here but who talks to whom.
 */
import { randomBytes } from "node:crypto";
import { chmod, copyFile, mkdir, writeFile } from "node:fs/promises";
import { availableParallelism, totalmem } from "node:os";
import { join } from "node:path";
import { pino } from "pino";
import type { StdioHost } from "../actors/container/stdio-relay.ts";
import { ContainerTasks } from "../actors/container/task-service.ts";
import type { Host } from "../actors/host.ts";
import { FileJournal } from "../actors/resources/journal.ts";
import { recover } from "../actors/resources/recovery.ts";
import { SandboxRegistry } from "../actors/sandbox/registry.ts";
import { OriginalKeeper } from "../actors/supply/original.actor.ts";
import { Pool } from "../actors/supply/pool.actor.ts";
import { VmSupply } from "../actors/supply/vm-supply.ts";
import { UserPool } from "../actors/vm/users.ts";
import type { Keeper } from "../contracts/keeper.ts";
import type { Logger } from "../contracts/logger.ts";
import type { LayerImages, RootfsStore } from "../contracts/storage.ts";
import type { TaskEvents } from "../contracts/task.ts";
import type { VmmDriver } from "../contracts/vmm.ts";
import { HostCgroups } from "../host/cgroups/host-cgroups.ts";
import { connectKeeper } from "../host/keeper/client.ts";
import { keeperAnswers, startKeeper } from "../host/keeper/process.ts";
import { HostNetworkOnly } from "../host/network/host-network-only.ts";
import { LocalHostFiles } from "../host/storage/host-files.ts";
import { HostLayerImages } from "../host/storage/layer-images.ts";
import { HostRootfsStore } from "../host/storage/rootfs-store.ts";
import { WorkerPool } from "../host/storage/worker-pool.ts";
import { sealMemory } from "../host/templates/sealed-memory.ts";
import { keptText } from "../lib/kept-text.ts";
import { nodeText } from "../lib/text.ts";
import { MetricsFile } from "../observe/metrics-file.ts";
import { ociSpecs } from "../oci/spec/translate.ts";
import { ControllerServer } from "../rpc/controller/server.ts";
import { EventPublisher } from "../rpc/events/publisher.ts";
import { createTaskService } from "../rpc/task/service.ts";
import { TtrpcDispatcher } from "../rpc/ttrpc/dispatcher.ts";
import { TurnBudget } from "../rpc/turn-budget.ts";
import { QemuDriver } from "../vmm/qemu/driver.ts";
import type { MemoryTasks } from "../workers/memory.worker.ts";
import type { RootfsTasks } from "../workers/rootfs.worker.ts";
import type { Config } from "./config/schema.ts";
import { locateParts, type Parts } from "./parts.ts";
import type { Daemon } from "./serve.ts";
import { openTemplateStore } from "./template-store.ts";
import { IdleMemory } from "./tuning/idle-memory.ts";
import { memoryPressure } from "./tuning/memory-pressure.ts";

/** Calls in flight may take this long when the daemon drains. */
const DRAIN_GRACE_MS = 10_000;
/** So long after the first container the text that only the start has needed is dropped. */
const START_IS_OVER_MS = 500;
const SESSION_BYTES = 16;
const REHEARSAL_DIRECTORIES = ["bin", "dev", "etc", "proc", "root", "sys", "tmp"];

/** What a daemon and a standalone run share. */
export interface Core {
  readonly host: Host;
  readonly sandboxes: SandboxRegistry;
  readonly tasks: ContainerTasks;
  /** Ends worker threads. */
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
  readonly rootfs?: RootfsStore;
  /** Default: cgroups if root, else none. */
  readonly cgroups?: Host["cgroups"];
  /** Whether VMs are cloned from templates. Default: no, every VM boots. */
  readonly templates?: boolean;
}

/** The actors on their real ports. */
export function wireCore(options: CoreOptions): Core {
  const { config, parts, logger, keeper } = options;
  const idleMemory = new IdleMemory(logger);
  const workers = new WorkerPool<RootfsTasks>({
    file: join(import.meta.dirname, "workers", "rootfs.worker.mjs"),
    maxThreads: config.storage.worker_threads,
    keepOne: true,
    firstIdleMs: START_IS_OVER_MS,
    onIdle: (pool) => idleMemory.giveBack(pool),
  });
  const templateMemory = new WorkerPool<MemoryTasks>({
    file: join(import.meta.dirname, "workers", "memory.worker.mjs"),
    maxThreads: 1,
    // a template is made once
    idleTimeoutMs: 500,
    onIdle: () => idleMemory.giveBack(workers, { threadEnded: true }),
  });
  const files = new LocalHostFiles(workers);
  const root = process.getuid?.() === 0;
  const images = new HostLayerImages(workers, parts.emptyImage);
  const driver = options.driver ?? qemuDriver(options, templateMemory, images);
  const session = randomBytes(SESSION_BYTES).toString("hex");
  const templates = options.templates
    ? openTemplateStore(config.template, {
        driver,
        session,
        text: nodeText,
        logger,
        deadlines: config.deadlines,
      })
    : undefined;
  const host: Host = {
    driver,
    supply: new VmSupply({
      templates,
      parallelStarts: parallelStarts(config),
      now: Date.now,
    }),
    keeper,
    stdio: options.stdio ?? keeper,
    files,
    rootfs: options.rootfs ?? new HostRootfsStore({ workers, empty: parts.emptyImage }),
    cgroups: options.cgroups ?? new HostCgroups(),
    networks: new HostNetworkOnly(),
    users: root ? new UserPool(config.vmm.first_uid, config.vmm.uid_count - 1) : undefined,
    specs: ociSpecs,
    events: options.events,
    logger,
    deadlines: config.deadlines,
    stateDirectory: config.daemon.state_directory,
    openJournal: (id) => FileJournal.create(join(journalDirectory(config), `${id}.jsonl`), id),
    scratchDirectory: config.storage.scratch_directory,
    defaultVcpus: config.vmm.vcpus,
    defaultMemoryBytes: config.vmm.memory,
    session,
    text: nodeText,
    now: Date.now,
    randomHex: (bytes) => randomBytes(bytes).toString("hex"),
    hostResolvConf: keptText("/etc/resolv.conf"),
  };
  const sandboxes = new SandboxRegistry(host);
  const close = async (): Promise<void> => {
    await templates?.close();
    await Promise.all([workers.close(), templateMemory.close()]);
  };
  return { host, sandboxes, tasks: new ContainerTasks(host, sandboxes), close };
}

/** As many as there are cores, and one to fill their waits; fewer where memory would not do. */
function parallelStarts(config: Config): number {
  const fitting = Math.floor(totalmem() / config.vmm.memory);
  return Math.max(1, Math.min(availableParallelism() + 1, fitting));
}

/** The pool of a daemon, with a root for its rehearsals made from what set-up has built. */
async function wirePool(config: Config, parts: Parts, host: Host): Promise<Pool> {
  const rehearsalRoot = rehearsals(config);
  if (config.pool.max > 0) await makeRehearsalRoot(rehearsalRoot, parts.busybox);
  const { min, max, memory_limit: memoryLimit, pressure_limit: pressureLimit } = config.pool;
  return new Pool(host, { min, max, memoryLimit, pressureLimit, rehearsalRoot, pressure: memoryPressure });
}

/** What keeps a VM to fork others from; undefined where nothing can be forked. */
async function wireOriginals(config: Config, parts: Parts, host: Host): Promise<OriginalKeeper | undefined> {
  if (!config.template.enabled || !(await host.driver.templates?.forks?.possible())) return undefined;
  const rehearsalRoot = rehearsals(config);
  await makeRehearsalRoot(rehearsalRoot, parts.busybox);
  const { pressure_limit: pressureLimit } = config.pool;
  return new OriginalKeeper(host, { rehearsalRoot, pressureLimit, pressure: memoryPressure });
}

function rehearsals(config: Config): string {
  return join(config.daemon.state_directory, "rehearsal");
}

/** Like an image: with an /etc that lacks the files that a sandbox adds, and with the mount points that images have. */
async function makeRehearsalRoot(root: string, busybox: string): Promise<void> {
  await Promise.all(REHEARSAL_DIRECTORIES.map((name) => mkdir(join(root, name), { recursive: true })));
  const program = join(root, "bin", "true");
  await copyFile(busybox, program);
  await chmod(program, 0o755);
  await writeFile(join(root, "etc", "passwd"), "root:x:0:0:root:/root:/bin/sh\n");
}

function qemuDriver(
  { config, parts, logger, keeper }: CoreOptions,
  templateMemory: WorkerPool<MemoryTasks>,
  images: LayerImages,
): VmmDriver {
  // the last of the users is for VMs that are no sandbox's
  const uid = config.vmm.first_uid + config.vmm.uid_count - 1;
  return new QemuDriver({
    keeper,
    binary: config.vmm.binary,
    kernel: parts.kernel,
    initramfs: parts.initramfs,
    acceleration: config.vmm.acceleration,
    deadlines: config.deadlines,
    logger,
    cacheDirectory: parts.cache,
    ownUser: process.getuid?.() === 0 ? { uid, gid: uid } : undefined,
    sealMemory: (file) => sealMemory(templateMemory, file),
    images,
    forkLibrary: parts.forkLibrary,
  });
}

/** Makes the directories that a daemon works in; each is its own alone. */
export async function makeStateDirectories(config: Config): Promise<void> {
  const { state_directory } = config.daemon;
  await mkdir(state_directory, { recursive: true, mode: 0o711 });
  await mkdir(join(state_directory, "sandboxes"), { recursive: true, mode: 0o711 });
  await mkdir(join(state_directory, "vm"), { recursive: true, mode: 0o711 });
  await mkdir(journalDirectory(config), { recursive: true, mode: 0o700 });
  await mkdir(config.storage.scratch_directory, { recursive: true, mode: 0o711 });
}

/**
 * The whole of blazard.
 * @param replaced ports that are something else than usual; the benchmark measures the daemon on a fake driver
 */
export async function wireDaemon(
  config: Config,
  replaced: Pick<CoreOptions, "driver" | "rootfs"> = {},
): Promise<Daemon> {
  const state = config.daemon.state_directory;
  const socket = config.daemon.socket ?? join(state, "blazar.sock");
  const taskSocket = config.daemon.task_socket ?? join(state, "task.sock");
  const logger: Logger = pino(
    { level: config.daemon.log_level, base: {} },
    pino.destination({ dest: 2, sync: false }),
  );
  const parts = await locateParts(config);
  await makeStateDirectories(config);
  const keeper = await reachKeeper(config, parts, taskSocket, logger);
  const events = new EventPublisher({ socket: config.daemon.containerd_socket, logger });
  const core = wireCore({
    ...{ config, parts, logger, keeper, events, templates: config.template.enabled },
    ...replaced,
  });
  const turns = new TurnBudget();
  const controller = new ControllerServer({
    sandboxes: core.sandboxes,
    taskAddress: `ttrpc+unix://${taskSocket}`,
    logger,
    turns,
  });
  const pool = await wirePool(config, parts, core.host);
  core.host.supply.pool = pool;
  const dispatcher = new TtrpcDispatcher([createTaskService(core.tasks)], logger);
  let originals: OriginalKeeper | undefined;
  const metrics = new MetricsFile({
    file: join(state, "metrics.json"),
    parts: {
      sandboxes: () => core.sandboxes.size,
      pool: () => ({ warm: pool.isFull, size: pool.size }),
      forks: () => ({ wanted: originals !== undefined, ready: originals?.isThere === true }),
    },
    logger,
  });
  return {
    logger,
    async start() {
      metrics.open();
      await recover(journalDirectory(config), core.host, logger);
      const { version, acceleration } = await core.host.driver.probe();
      keeper.onTaskMessage((message, context) => turns.run(() => dispatcher.handleMessage(message, context)));
      await controller.listen(socket);
      pool.start();
      originals = await wireOriginals(config, parts, core.host);
      core.host.supply.originals = originals;
      originals?.start();
      logger.info(
        { socket, taskSocket, vmm: core.host.driver.name, version, acceleration },
        "blazard is ready",
      );
    },
    async drain() {
      await Promise.all([pool.close(), originals?.close()]);
      await core.sandboxes.drain();
      await controller.drain(DRAIN_GRACE_MS);
      await events.close();
      await core.close();
      if (config.keeper.start)
        await keeper.shutdown().catch((error: unknown) => logger.warn({ err: error }, "the keeper stays"));
      await keeper.close();
      await metrics.close();
    },
  };
}

function journalDirectory(config: Config): string {
  return join(config.daemon.state_directory, "journals");
}

/** Connects to the keeper, and starts one if none answers and the configuration says so. */
async function reachKeeper(config: Config, parts: Parts, task: string, logger: Logger): Promise<Keeper> {
  const control = config.keeper.socket ?? join(config.daemon.state_directory, "keeper.sock");
  const log = logger.child({ component: "keeper" });
  if (config.keeper.start && !(await keeperAnswers(control))) {
    await startKeeper({ binary: parts.keeper, control, task, log });
  }
  return connectKeeper({ control, log });
}
