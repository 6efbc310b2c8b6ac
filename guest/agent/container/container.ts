/**
 * One container: its root, its cgroup, its processes, and how it ends.
 *
 * When the first process ends, all others are killed: by the kernel if the container has a PID namespace of its own, by
 * the cgroup if the namespace is shared. Deleting a container waits until they are gone and releases its disk.
 */
import * as sys from "sys";
import { poll } from "../../../native/runtime/promises.ts";
import { type BlazarError, blazarError } from "../../../src/contracts/errors.ts";
import type { SandboxInventory } from "../../../src/protocol/guest/inventory.ts";
import type {
  ContainerCreate,
  GuestSeccomp,
  PidsResult,
  ProcessExec,
} from "../../../src/protocol/guest/messages.ts";
import type { MarkStep } from "../../../src/protocol/wire/request-steps.ts";
import type { AgentContext } from "../context.ts";
import { checkedProcess } from "../process/command.ts";
import type { ContainerNamespaces } from "../process/namespaces.ts";
import { ContainerProcess, KILLED } from "../process/process.ts";
import { type MountedRoot, mountRoot } from "../root/mount-root.ts";
import type { SandboxEnvironment } from "../sandbox/sandbox.ts";
import type { UserNamespace } from "../sandbox/user-namespace.ts";
import { UndoList } from "../undo-list.ts";
import type { Cgroup } from "./cgroup.ts";
import { OomWatch } from "./oom-watch.ts";

/** How long killed processes may take to disappear. If it takes longer, the kernel is stuck with one of them. */
const GONE_WITHIN_MS = 10_000;
/** How long running processes may take to stop. One that waits for a disk stops only afterwards. */
const FROZEN_WITHIN_MS = 10_000;
/** How long a daemon that takes the guest over waits for what the last one has begun. It may abandon it then. */
const EXECS_MADE_WITHIN_MS = 5_000;
const NO_SUCH_CPUS = "the guest does not have the CPUs or memory nodes that the spec names";

/** What a container takes from its sandbox. */
export interface ContainerSurroundings {
  readonly sandbox: SandboxEnvironment;
  /** `new`, or a descriptor that is closed here. */
  readonly pidNamespace: "new" | number;
  /** Called whenever the kernel has killed processes for want of memory. */
  readonly onOom: () => void;
  /** The pod's, if the container is in it. */
  readonly userNamespace: UserNamespace | undefined;
  /** Told after each step. */
  readonly mark: MarkStep;
}

export class Container {
  readonly id: string;
  readonly execs = new Map<string, ContainerProcess>();
  readonly oom: OomWatch;
  private readonly context: AgentContext;
  private readonly cgroup: Cgroup;
  private readonly root: MountedRoot;
  private readonly seccomp: GuestSeccomp | undefined;
  private readonly namespaces: ContainerNamespaces;
  private readonly drainMs: number;
  /** Volumes whose content the host gets when the container ends. */
  readonly returned: readonly string[];
  /** Execs that are being made. */
  private readonly starting = new Map<string, ContainerProcess | undefined>();
  private deleted: Promise<void> | undefined;

  private constructor(
    params: ContainerCreate,
    readonly init: ContainerProcess,
    context: AgentContext,
    cgroup: Cgroup,
    root: MountedRoot,
    oom: OomWatch,
  ) {
    const { id, seccomp, drainMs, returned } = params;
    this.id = id;
    this.oom = oom;
    this.namespaces = namespacesOf(params);
    this.context = context;
    this.cgroup = cgroup;
    this.root = root;
    this.seccomp = seccomp;
    this.drainMs = drainMs;
    this.returned = returned;
  }

  /** Makes the container; its first process then waits for its start. Throws, leaving nothing. */
  static async create(
    context: AgentContext,
    params: ContainerCreate,
    { sandbox, pidNamespace, userNamespace, onOom, mark }: ContainerSurroundings,
  ): Promise<Container> {
    const undo = new UndoList(context.logger.child({ container: params.id }));
    try {
      const covered = coveredFiles(sandbox, params);
      const root = await mountRoot(context, {
        ...{ id: params.id, rootfs: params.rootfs, layerBytes: params.layerBytes, covered },
        userNamespace: params.idmappedLayers ? userNamespace?.descriptors.user : undefined,
      });
      undo.add("release the root", () => root.release());
      mark("root");
      const cgroup = context.cgroups.create(params);
      undo.add("remove the cgroup", () => emptyCgroup(context, cgroup));
      const oom = new OomWatch(context.loop, cgroup, onOom);
      undo.add("stop the watch of its memory", () => oom.stop());
      mark("cgroup");
      const init = await ContainerProcess.create(context, {
        process: checkedProcess(params.process),
        seccomp: params.seccomp,
        stdio: params.stdio,
        root: {
          rootfs: root.path,
          ownVolumes: root.ownVolumes,
          readonly: params.rootfs.readonly,
          mounts: params.mounts,
          files: sandbox.files,
          sharedMemory: sandbox.sharedMemory,
          maskedPaths: params.maskedPaths,
          readonlyPaths: params.readonlyPaths,
          sysctl: params.sysctl,
          devices: params.devices,
        },
        namespaces: namespacesOf(params),
        pod: userNamespace?.descriptors,
        cgroup: cgroup.descriptor,
        pidNamespace,
        // as under runc, no quota slows down what is done for the container before it is there
        onReady: () => cgroup.throttle(params.cgroup),
        onEnd: () => {
          cgroup.kill();
          return KILLED;
        },
      });
      mark("first process");
      const container = new Container(params, init, context, cgroup, root, oom);
      container.warnOf(cgroup.refused);
      return container;
    } catch (error) {
      await undo.run();
      throw error;
    } finally {
      if (pidNamespace !== "new") sys.close(pidNamespace);
    }
  }

  /** Starts a further process. Throws ProcessExists, ContainerNotRunning, or why it could not be executed. */
  async exec(params: ProcessExec): Promise<ContainerProcess> {
    const { execId } = params;
    if (execId === "" || this.execs.has(execId) || this.starting.has(execId)) {
      throw blazarError("ProcessExists", "execute a process", "the container has a process with this id", {
        subject: `${this.id}/${execId}`,
      });
    }
    if (this.init.state === "exited" || this.deleted !== undefined)
      throw this.notRunning("execute a process");
    this.starting.set(execId, undefined);
    try {
      const process = await this.join(params);
      this.execs.set(execId, process);
      return process;
    } finally {
      this.starting.delete(execId);
    }
  }

  /** Kills an exec that nobody waits for any more, in whatever state it is. Without one it does nothing. */
  async abandonExec(execId: string): Promise<void> {
    await (this.execs.get(execId) ?? this.starting.get(execId))?.discard();
    this.execs.delete(execId);
  }

  pids(): PidsResult {
    const pids = this.cgroup.pids();
    const asked = new Set(
      [this.init, ...this.execs.values(), ...this.starting.values()].map((each) => each?.pid),
    );
    return { pids, children: pids.filter((pid) => !asked.has(pid)) };
  }

  update(files: Readonly<Record<string, string>>): void {
    this.warnOf(this.cgroup.update(files));
  }

  /** What it uses: files of its cgroup. */
  stats(): Record<string, string> {
    return this.cgroup.stats();
  }

  /** Freezes its processes, or lets them go on. Throws if a process cannot be frozen in time. */
  async freeze(frozen: boolean): Promise<void> {
    this.cgroup.freeze(frozen);
    const done = await poll(this.context.loop, FROZEN_WITHIN_MS, () =>
      this.cgroup.frozen() === frozen ? true : undefined,
    );
    if (done === true) return;
    if (frozen) this.cgroup.freeze(false);
    throw blazarError("GuestFailed", "pause a container", "a process in it cannot be stopped", {
      subject: this.id,
    });
  }

  /** Resolves when no exec is being made, or after a moment. */
  async settled(): Promise<void> {
    await poll(this.context.loop, EXECS_MADE_WITHIN_MS, () => (this.starting.size === 0 ? true : undefined));
  }

  inventory(): Omit<SandboxInventory["containers"][number], "returned"> {
    const processes = [["", this.init] as const, ...this.execs].map(([execId, process]) => {
      const { state, status, stdio } = process;
      return { execId, state, status, streams: stdio.streams };
    });
    this.oom.check();
    return { id: this.id, paused: this.cgroup.frozen(), oomKilled: this.oom.killed, processes };
  }

  signalAll(signal: number): void {
    if (signal === sys.SIGKILL) return this.cgroup.kill();
    for (const pid of this.cgroup.pids()) sys.kill(pid, signal);
  }

  /** Kills what is left and releases everything. Requests that overlap share one deletion. */
  delete(): Promise<void> {
    this.deleted ??= this.deleteSteps();
    return this.deleted;
  }

  /** Opens the container's PID namespace; the caller closes the descriptor. Throws ContainerNotRunning. */
  openPidNamespace(): number {
    const fd = sys.open(`/proc/${this.init.pid}/ns/pid`, sys.O_RDONLY);
    if (fd < 0 || this.init.state === "exited")
      throw this.notRunning("join the PID namespace of a container");
    return fd;
  }

  private warnOf(refused: readonly string[]): void {
    if (refused.length > 0) this.context.logger.warn(NO_SUCH_CPUS, { container: this.id, refused });
  }

  private notRunning(operation: string): BlazarError {
    return blazarError("ContainerNotRunning", operation, "the container has ended", { subject: this.id });
  }

  private async join(params: ProcessExec): Promise<ContainerProcess> {
    const pidNamespace = this.openPidNamespace();
    const creation = ContainerProcess.create(this.context, {
      process: checkedProcess(params.process),
      seccomp: this.seccomp,
      stdio: params.stdio,
      root: this.init.pid,
      namespaces: this.namespaces,
      pod: undefined,
      cgroup: this.cgroup.descriptor,
      join: (pid) => this.cgroup.enter(pid),
      joinsLate: this.cgroup.isSlow,
      pidNamespace,
      onEnd: () => ({ drainMs: this.drainMs }),
      made: (process) => this.starting.set(params.execId, process),
    }).finally(() => sys.close(pidNamespace));
    const process = await creation;
    try {
      await process.start();
      return process;
    } catch (error) {
      await process.discard();
      throw error;
    }
  }

  private async deleteSteps(): Promise<void> {
    const processes = [this.init, ...this.execs.values()];
    this.cgroup.kill();
    await Promise.all(processes.map((process) => process.exited));
    for (const process of processes) process.stdio.close();
    this.oom.stop();
    await emptyCgroup(this.context, this.cgroup);
    await this.root.release();
  }
}

/** Destinations that surely have a file mounted on them: the sandbox's, or one of a volume. */
function coveredFiles({ files }: SandboxEnvironment, { mounts }: ContainerCreate): ReadonlySet<string> {
  const covered = new Set(Object.keys(files));
  for (const { destination, type } of mounts) if (type !== "volume") covered.delete(destination);
  return covered;
}

function namespacesOf({
  ownNamespaces: own,
  hostname,
  domainname,
  userNamespace: maps,
}: ContainerCreate): ContainerNamespaces {
  return { own, hostname, domainname, maps };
}

/** Kills what is in a cgroup and removes it. */
export async function emptyCgroup(context: AgentContext, cgroup: Cgroup): Promise<void> {
  cgroup.kill();
  const removed = await poll(context.loop, GONE_WITHIN_MS, () => (cgroup.remove() ? true : undefined));
  if (removed !== true)
    context.logger.warn("a cgroup still has processes, although they were killed", {
      path: cgroup.path,
    });
}
