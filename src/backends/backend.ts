/**
 * The seam for what runs a sandbox's containers: microVMs today (actors/vm/), later perhaps runc, gVisor or Wasm.
 *
 * A sandbox owns its chart, its journal and its control groups; a backend owns everything in which containers run. The
 * sandbox's actor and the containers' know a backend only by this contract.
 */
import type { Observable } from "rxjs";
import type { HeldResources } from "../actors/resources/held.ts";
import type { GuestShell, ShellListener, ShellRequest } from "../contracts/guest-shell.ts";
import type { LogName } from "../contracts/inspection.ts";
import type { StdioPaths } from "../contracts/keeper.ts";
import type { Logger } from "../contracts/logger.ts";
import type { PodLimits, SandboxSpec } from "../contracts/sandbox.ts";
import type { SeccompProfile } from "../contracts/seccomp.ts";
import type { CgroupStats } from "../contracts/stats.ts";
import type { GroupLimits } from "../contracts/storage.ts";
import type { RootfsMount } from "../contracts/task.ts";
import type { LogEnd } from "../contracts/vm.ts";
import type { VolumeRequest } from "../contracts/volumes.ts";
import type { SandboxEvent } from "../machines/sandbox.setup.ts";
import type { vmBootMachine } from "../machines/vm-boot.machine.ts";
import type { ContainerCreate, GuestProcess, GuestStdio } from "../protocol/guest/messages.ts";

/** A container's spec, reduced to what has to be done; its root, stdio and id are added later. */
export interface TranslatedContainer {
  readonly create: Omit<
    ContainerCreate,
    "id" | "rootfs" | "stdio" | "pidTarget" | "seccomp" | "drainMs" | "returned"
  >;
  /** Undefined: no system call is filtered. */
  readonly seccomp: SeccompProfile | undefined;
  /** What it binds of the host; mounts of type `volume` name them by number. */
  readonly volumes: readonly VolumeRequest[];
  readonly rootReadonly: boolean;
  /** Task pid of the container whose PID namespace is joined; set if `create.pidNamespace` is `target`. */
  readonly pidTarget: number | undefined;
  /** Parts of the spec that are not obeyed, for the log. */
  readonly warnings: readonly string[];
  /** Sentences that are worth telling once, whatever the container. */
  readonly notices: readonly string[];
}

/** A container to be made. */
export interface ContainerSpec {
  readonly id: string;
  /** Short and unique in the sandbox: container ids are too long to be serial numbers. */
  readonly shortId: string;
  readonly mounts: readonly RootfsMount[];
  readonly translated: TranslatedContainer;
  /** Id of the container whose PID namespace is joined, or "". */
  readonly pidTarget: string;
  readonly paths: StdioPaths;
  readonly terminal: boolean;
}

/** An additional process of a container. */
export interface ExecSpec {
  readonly execId: string;
  readonly process: GuestProcess;
  readonly paths: StdioPaths;
  readonly terminal: boolean;
}

/** Standard streams of a process. */
export interface ProcessStdio {
  /** Resolves when every output has ended and is in its FIFO, or the stdio is closed. */
  readonly drained: Promise<void>;
  /** Numbers by which the guest knows them. */
  readonly streams: { readonly stdin: number; readonly stdout: number; readonly stderr: number };
  closeInput(): Promise<void>;
}

/** One container in a backend's sandbox. `execId` is "" for the init process. */
export interface BackendContainer {
  /** Serial number of the disk that its root is on; "" if it has none. */
  readonly diskId: string;
  /** Makes it, without running its command. May be tried once; {@link remove} undoes whatever there is of it. */
  create(signal: AbortSignal): Promise<void>;
  /** Runs the init process's command. */
  start(signal: AbortSignal): Promise<void>;
  exec(spec: ExecSpec, signal: AbortSignal): Promise<void>;
  /**
   * Signals a process, or every process of the container.
   * @param token names the signal: one that has come before is not sent again
   */
  signal(execId: string, signal: number, all: boolean, token?: string): Promise<void>;
  /** It has not ended by SIGKILL, whatever was answered: the sandbox ends by that, and its containers with it. */
  giveUp(reason: string): void;
  resize(execId: string, rows: number, columns: number): Promise<void>;
  /** Writes limits of the container, as files of cgroup v2. */
  update(cgroup: Readonly<Record<string, string>>): Promise<void>;
  stats(): Promise<CgroupStats>;
  /** Numbers of the processes that its own processes have started. They mean nothing on the host. */
  children(): Promise<readonly number[]>;
  /** Stops every process, or lets them go on. */
  pause(paused: boolean): Promise<void>;
  /** Forgets a process that was started and has ended. */
  removeExec(execId: string): Promise<void>;
  /** Takes the container away; its files on the host are unmounted then. */
  remove(signal: AbortSignal): Promise<void>;
  /** Undefined before it was opened, and after it was closed. */
  stdio(execId: string): ProcessStdio | undefined;
  closeStdio(execId: string): Promise<void>;
  closeAllStdio(): Promise<void>;
  /** Nothing runs any more: outputs end where they are. */
  ended(): void;
  /** Resolves when no creation is under way. */
  settled(): Promise<void>;
}

/** A process of a container, as the guest knows it. */
export interface AdoptedProcess {
  /** "" for the init process. */
  readonly execId: string;
  /** `created`: an init process that waits before its execve. */
  readonly state: "created" | "running" | "exited";
  /** Exit status, 0–255; 0 until it has exited. */
  readonly status: number;
  readonly streams: GuestStdio;
}

/** A container, as the guest knows it. */
export interface AdoptedContainer {
  readonly id: string;
  readonly paused: boolean;
  readonly processes: readonly AdoptedProcess[];
}

/** What a sandbox is found to be that an earlier daemon has left running. */
export interface AdoptedSandbox {
  /** Host pid of the VMM. */
  readonly pid: number;
  /** All containers of the guest that were known. Undefined: its agent is older and cannot tell; the facts hold. */
  readonly containers: readonly AdoptedContainer[] | undefined;
}

/** What an earlier daemon knew of a process whose container is taken over. */
export interface KnownProcess {
  /** "" for the init process. */
  readonly execId: string;
  readonly paths: StdioPaths;
  readonly terminal: boolean;
  /** Its streams on the guest's link. */
  readonly streams: GuestStdio;
  /** It has ended, and nothing comes of it any more but what is on its way. */
  readonly exited: boolean;
}

/** What one sandbox's containers run in. */
export interface SandboxBackend {
  /** Those of its control group, once it is made. */
  readonly limits: GroupLimits;
  /**
   * At Create, once: reads what decides about the VM, and begins whatever makes the start shorter. Makes nothing that is not in
   * the sandbox's resources. Throws what the pod asks for and cannot have.
   */
  prepare(signal: AbortSignal): Promise<void>;
  /**
   * Instead of {@link prepare}, {@link enter} and the boot: takes over what an earlier daemon has left running. `facts` are those
   * of the journal, which is open in the sandbox's resources; garbage among them is as if it were not there. What of a
   * container is in the guest or in the journal and is not `known` was half made: it is undone. Throws VmmExited or GuestLost
   * if there is nothing to take over: then {@link end} and {@link finish} work as ever.
   */
  adopt(
    facts: ReadonlyMap<string, unknown>,
    known: ReadonlySet<string>,
    signal: AbortSignal,
  ): Promise<AdoptedSandbox>;
  /**
   * A container that an earlier daemon has made, once {@link adopt} has succeeded or failed. The stdio of its processes is taken
   * up. Its guest may have lost it, or be lost: then outputs end where they are, and {@link BackendContainer.remove} undoes what
   * is on the host.
   */
  adoptContainer(id: string, processes: readonly KnownProcess[]): Promise<BackendContainer>;
  /** The sandbox's control groups exist; `procs` are their cgroup.procs files. */
  enter(procs: readonly string[]): void;
  /** The start is over, one way or the other. */
  endBoot(): void;
  /** Reports of whatever runs the containers, as the sandbox's chart takes them; never error. */
  vmmEvents$(): Observable<SandboxEvent>;
  agentEvents$(): Observable<SandboxEvent>;
  /** Throws if no containers can be made. */
  container(spec: ContainerSpec): BackendContainer;
  /** Asks it to end by itself, and waits for that. */
  shutDown(signal: AbortSignal): Promise<void>;
  /** Ends it. Waits for what was cut short; may be called again. */
  end(): Promise<void>;
  /** The last step, when everything else is undone. */
  finish(): Promise<void>;
  /**
   * Changes the limits of all containers together. `before` has those that held until now.
   * @throws BlazarError ResourceExhausted if its machine cannot hold them, or its containers use more: then nothing has changed
   */
  resize(limits: PodLimits, before: SandboxSpec): Promise<void>;
  /** What the sandbox's machine has, as far as it is known. */
  size(): { readonly vcpus: number; readonly memoryBytes: number };
  /** Facts for operators, shown by `crictl inspectp`. */
  info(): Record<string, string>;
  /** Last words, for error messages. */
  diagnostics(): Promise<string>;
  /** The end of a log that it has. Never rejects. */
  readLog(log: LogName): Promise<LogEnd>;
  /** Starts a process in the guest itself, outside of all containers. Throws GuestLost, or why it does not run. */
  openShell(request: ShellRequest, listener: ShellListener): Promise<GuestShell>;
}

/** What a backend is told of a new sandbox. */
export interface BackendOpening {
  readonly spec: SandboxSpec;
  /**
   * Facts of the journal of a sandbox that an earlier daemon has left; undefined: it is new. What that daemon has accepted and
   * decided holds, whatever the configuration has become meanwhile.
   */
  readonly facts?: ReadonlyMap<string, unknown> | undefined;
  /** The sandbox's own directory; made by the sandbox before the backend is started. */
  readonly directory: string;
  /** What the sandbox holds: a backend's intents go in there. */
  readonly resources: HeldResources;
  readonly logger: Logger;
}

/** A kind of sandbox. The child `boot` of the sandbox's chart makes it ready (machines/sandbox.setup.ts). */
export interface Backend {
  /** `"vm"`, … */
  readonly name: string;
  readonly boot: typeof vmBootMachine;
  /** Makes nothing on the host yet. */
  open(opening: BackendOpening): SandboxBackend;
}
