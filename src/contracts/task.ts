/**
 * The task port: what the Task adapter may ask of containers and their processes, and the events that go
 * back to containerd.
 *
 * One method per RPC of containerd.task.v3.Task, without protobuf. `execId` is "" for a container's init
 * process everywhere. Failures are `BlazarError`s; see facts on which kinds containerd can live with
 * (`Kill` must not say not-found of a live process, `Create` must never say unimplemented).
 */

import type { CgroupStats } from "./stats.ts";

/** One mount of a container's root, as the snapshotter described it; nothing is mounted yet. */
export interface RootfsMount {
  type: string;
  source: string;
  /** Below the bundle's rootfs; "" for the root itself. */
  target: string;
  options: string[];
}

/** A container to be made, as Task.Create announces it: its only announcement. */
export interface TaskCreateRequest {
  /** The sandbox that the container belongs to, as the bundle says; absent if the bundle does not say. */
  sandboxId?: string;
  id: string;
  /** The bundle's directory on the host (config.json, rootfs/, …). */
  bundle: string;
  rootfs: RootfsMount[];
  /** Paths of FIFOs, or "" where there is none. */
  stdin: string;
  stdout: string;
  stderr: string;
  terminal: boolean;
  /** The bundle's config.json, parsed and not yet validated (OCI runtime spec). */
  spec?: unknown;
  /** containerd's namespace (`k8s.io` for CRI), which its events go back to. */
  namespace?: string;
}

/** An additional process for a running container. */
export interface TaskExecRequest {
  /** An OCI `process` object, parsed from JSON and not yet validated. */
  process: unknown;
  stdin: string;
  stdout: string;
  stderr: string;
  terminal: boolean;
}

/** Where a call comes from, as far as that changes what it means. */
export interface TaskCallOrigin {
  /** It has come before, to a daemon that has died: that one may have done some or all of it. What is done already is success. */
  readonly replayed: boolean;
  /** Names the call: a call that comes again has the same token, and no other call has it. */
  readonly token: string;
}

/** What containerd may be told of a process. */
export type ProcessStatus = "created" | "running" | "stopped" | "paused";

/** A process as it is now. */
export interface ProcessState {
  /** The container's id. */
  id: string;
  /** "" for the init process. */
  execId: string;
  /** Unique on the node, even though the process lives in a guest. */
  pid: number;
  status: ProcessStatus;
  stdin: string;
  stdout: string;
  stderr: string;
  terminal: boolean;
  /** 0 until the process has stopped. */
  exitStatus: number;
  exitedAt?: Date;
  bundle: string;
}

/**
 * The containers of this node and their processes. Unknown ids are refused with a `notFound` error. A call that needs the guest
 * waits while its sandbox is taken over from an earlier daemon; what is known is answered at once.
 */
export interface TaskService {
  /** The sandbox that a container is in; undefined if there is no such container. */
  sandboxOf(id: string): string | undefined;
  /** Prepares storage and makes the container, without running its command. */
  create(request: TaskCreateRequest, origin?: TaskCallOrigin): Promise<{ pid: number }>;
  /** Runs the command of the init process or of an exec. */
  start(id: string, execId: string, origin?: TaskCallOrigin): Promise<{ pid: number }>;
  /** Registers a process, to be run by {@link start}. */
  exec(id: string, execId: string, request: TaskExecRequest, origin?: TaskCallOrigin): Promise<void>;
  state(id: string, execId: string): ProcessState;
  /** Resolves when the process has ended, at once if it has. Rejects `Cancelled` when `signal` aborts. */
  wait(id: string, execId: string, signal?: AbortSignal): Promise<{ exitStatus: number; exitedAt: Date }>;
  /** @param all signal every process of the container, not only the named one */
  kill(id: string, execId: string, signal: number, all: boolean, origin?: TaskCallOrigin): Promise<void>;
  /** Forgets an ended process; for the init process also unmounts its root before it resolves. */
  delete(id: string, execId: string): Promise<{ pid: number; exitStatus: number; exitedAt: Date }>;
  /**
   * Init, running execs, and what these have started, which has no execId and a number that means nothing on the host. At least
   * one until {@link delete}, or a restarted containerd drops the task.
   */
  pids(id: string): Promise<{ readonly pid: number; readonly execId: string }[]>;
  /** Ends the process's standard input. */
  /** What the container uses. */
  stats(id: string): Promise<CgroupStats>;
  /** Changes the container's limits: a `linux.resources` of the OCI spec, parsed and not yet validated. */
  update(id: string, resources: unknown): Promise<void>;
  /** Stops every process of the container; all calls but exec go on to work. */
  pause(id: string, origin?: TaskCallOrigin): Promise<void>;
  resume(id: string, origin?: TaskCallOrigin): Promise<void>;
  closeIO(id: string, execId: string): Promise<void>;
  resizePty(id: string, execId: string, width: number, height: number): Promise<void>;
  connect(id: string): { taskPid: number; version: string };
  /** containerd is done with the container's shim: nothing to do, and never an error. */
  shutdown(id: string): void;
}

interface EventOf<Type extends string> {
  readonly type: Type;
  /** containerd's namespace, for example `k8s.io`. */
  readonly namespace: string;
  readonly containerId: string;
}

/** A container was created; `pid` is its init process's. */
export interface TaskCreateEvent extends EventOf<"create"> {
  readonly bundle: string;
  readonly rootfs: readonly RootfsMount[];
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly terminal: boolean;
  readonly pid: number;
}

/** A container's init process runs. */
export interface TaskStartEvent extends EventOf<"start"> {
  readonly pid: number;
}

/** A process ended; `id` is the exec's id, or the container's for its init process. */
export interface TaskExitEvent extends EventOf<"exit"> {
  readonly id: string;
  readonly pid: number;
  readonly exitStatus: number;
  readonly exitedAt: Date;
}

/** A container was deleted (not sent for execs, as with runc). */
export interface TaskDeleteEvent extends EventOf<"delete"> {
  readonly pid: number;
  readonly exitStatus: number;
  readonly exitedAt: Date;
}

/** A process was registered by Exec. */
export interface TaskExecAddedEvent extends EventOf<"exec-added"> {
  readonly execId: string;
}

/** An exec's process runs. */
export interface TaskExecStartedEvent extends EventOf<"exec-started"> {
  readonly execId: string;
  readonly pid: number;
}

/** A container's processes were stopped, or go on. */
export type TaskPausedEvent = EventOf<"paused"> | EventOf<"resumed">;

/** The kernel killed something in the container for memory; send it before or with the exit. */
export type TaskOomEvent = EventOf<"oom">;

/** What happens to a task, told to containerd under the topic `/tasks/<type>`. */
export type TaskEvent =
  | TaskCreateEvent
  | TaskStartEvent
  | TaskExitEvent
  | TaskDeleteEvent
  | TaskExecAddedEvent
  | TaskExecStartedEvent
  | TaskPausedEvent
  | TaskOomEvent;

/** Where task events go. */
export interface TaskEvents {
  /** Never blocks and never throws: events are a courtesy, no flow depends on them. */
  publish(event: TaskEvent): void;
}
