/**
 * The containers of the node and their processes: the implementation of the task port on top of the charts.
 *
 * Rules that containerd needs (facts/containerd.md §8, 9): Kill says not-found only of what has ended; pids are
 * never empty before Delete; Delete unmounts before it answers. Everything that can be answered from records is.
 */

import { BlazarError, blazarError } from "../../contracts/errors.ts";
import type {
  ProcessState,
  TaskCreateRequest,
  TaskEvent,
  TaskExecRequest,
  TaskService,
} from "../../contracts/task.ts";
import type { ContainerActor } from "../../machines/container.machine.ts";
import { processActorId } from "../../machines/container.machine.ts";
import { errorOf } from "../../machines/failure.ts";
import type { ProcessActor } from "../../machines/process.machine.ts";
import { abortable } from "../abortable.ts";
import type { Host } from "../host.ts";
import type { SandboxRegistry } from "../sandbox/registry.ts";
import { until } from "../until.ts";
import {
  type ContainerObserver,
  ContainerRuntime,
  type ProcessExitRecord,
  ProcessRecord,
} from "./container.actor.ts";

/** Task pids start beyond PID_MAX_LIMIT of 64-bit Linux (2^22), so that none is ever a host process. */
const FIRST_TASK_PID = 4_194_304 + 1;
const SAFE_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;
const SIGKILL = 9;

type EventBody = TaskEvent extends infer E
  ? E extends TaskEvent
    ? Omit<E, "namespace" | "containerId">
    : never
  : never;

export class ContainerTasks implements TaskService, ContainerObserver {
  private readonly containers = new Map<string, ContainerRuntime>();
  private nextPid = FIRST_TASK_PID;

  constructor(
    private readonly host: Host,
    private readonly sandboxes: SandboxRegistry,
  ) {
    sandboxes.onRemoved = (sandbox) => {
      for (const container of [...this.containers.values()])
        if (container.sandbox === sandbox) this.drop(container);
    };
  }

  create(request: TaskCreateRequest): Promise<{ pid: number }> {
    return this.host.supply.activity.during(() => this.createContainer(request));
  }

  private async createContainer(request: TaskCreateRequest): Promise<{ pid: number }> {
    const operation = "create the container";
    const { id } = request;
    if (!SAFE_ID.test(id)) {
      throw blazarError(
        "InvalidArgument",
        operation,
        "an id has 1 to 128 letters, digits, dots, dashes or underscores",
        { subject: id.slice(0, 200) },
      );
    }
    if (this.containers.has(id)) {
      throw blazarError("ContainerExists", operation, "there is one with this id", { subject: id });
    }
    if (request.sandboxId === undefined) {
      throw blazarError("InvalidSpec", operation, "its bundle names no sandbox", { subject: id });
    }
    const sandbox = this.sandboxes.entry(request.sandboxId);
    if (!sandbox.actor.getSnapshot().matches("ready")) {
      throw blazarError(
        "SandboxNotReady",
        operation,
        `sandbox ${request.sandboxId} is ${this.sandboxes.status(request.sandboxId).phase}`,
        { subject: id },
      );
    }
    const translated = this.host.specs.container(request.spec);
    const target = translated.pidTarget === undefined ? "" : this.containerOfPid(translated.pidTarget);
    const init = new ProcessRecord("", this.nextPid++, pathsOf(request), request.terminal, undefined);
    const container = new ContainerRuntime(sandbox.runtime, request, translated, target, init, this);
    if (translated.warnings.length > 0) {
      container.logger.warn({ ignored: translated.warnings }, "parts of the container's spec are not obeyed");
    }
    this.containers.set(id, container);
    sandbox.runtime.containers.set(id, container);
    sandbox.actor.send({ type: "container.add", containerId: id });
    const actor = sandbox.containerActor(id);
    const snapshot = actor && (await until(actor, (now) => now.matches("present")));
    if (snapshot === undefined || snapshot.status !== "active") {
      this.drop(container);
      const failure = snapshot?.context.failure;
      if (failure !== undefined) throw errorOf(failure, id);
      throw blazarError("SandboxNotReady", operation, "its sandbox has ended meanwhile", { subject: id });
    }
    const { bundle, rootfs, stdin, stdout, stderr, terminal } = request;
    this.publish(container, {
      type: "create",
      bundle,
      rootfs,
      stdin,
      stdout,
      stderr,
      terminal,
      pid: init.pid,
    });
    return { pid: init.pid };
  }

  async start(id: string, execId: string): Promise<{ pid: number }> {
    const container = this.container(id);
    const record = container.record(execId);
    const actor = this.processActor(container, execId);
    if (record.exit !== undefined || actor === undefined || !actor.getSnapshot().matches("pending")) {
      throw blazarError(
        "IllegalTransition",
        "start the process",
        record.exit === undefined ? "it has been started already" : "it has ended",
        { subject: name(id, execId) },
      );
    }
    actor.send({ type: "process.start" });
    const snapshot = await until(actor, (now) => now.matches("running") || now.matches("exited"));
    if (snapshot.context.failure !== undefined) throw errorOf(snapshot.context.failure, name(id, execId));
    return { pid: record.pid };
  }

  async exec(id: string, execId: string, request: TaskExecRequest): Promise<void> {
    const operation = "add a process to the container";
    const subject = name(id, execId);
    const container = this.container(id);
    if (!SAFE_ID.test(execId))
      throw blazarError("InvalidArgument", operation, "the exec's id is not a plain name", { subject: id });
    if (container.processes.has(execId))
      throw blazarError("ProcessExists", operation, "there is one with this id", { subject });
    if (!container.init.started || container.init.exit !== undefined) {
      throw blazarError("ContainerNotRunning", operation, "the container does not run", { subject });
    }
    const { process, warnings } = this.host.specs.process(request.process);
    if (warnings.length > 0)
      container.logger.warn(
        { exec: execId, ignored: warnings },
        "parts of the process's spec are not obeyed",
      );
    const record = new ProcessRecord(execId, this.nextPid++, pathsOf(request), request.terminal, {
      ...process,
      terminal: request.terminal,
    });
    container.processes.set(execId, record);
    this.containerActor(container)?.send({ type: "process.add", execId });
    this.publish(container, { type: "exec-added", execId });
    await Promise.resolve();
  }

  state(id: string, execId: string): ProcessState {
    const container = this.container(id);
    const record = container.record(execId);
    return {
      id,
      execId,
      pid: record.pid,
      status: record.exit !== undefined ? "stopped" : record.started ? "running" : "created",
      ...record.paths,
      terminal: record.terminal,
      exitStatus: record.exit?.exitStatus ?? 0,
      ...(record.exit === undefined ? {} : { exitedAt: record.exit.exitedAt }),
      bundle: container.bundle,
    };
  }

  async wait(id: string, execId: string, signal?: AbortSignal): Promise<ProcessExitRecord> {
    const { exited } = this.container(id).record(execId);
    if (signal === undefined) return exited;
    return abortable(exited, signal, { operation: "wait for the process", subject: name(id, execId) });
  }

  async kill(id: string, execId: string, signal: number, all: boolean): Promise<void> {
    const container = this.container(id);
    const record = container.record(execId);
    const operation = "signal the process";
    const subject = name(id, execId);
    if (!Number.isInteger(signal) || signal < 1 || signal > 64) {
      throw blazarError("InvalidArgument", operation, `there is no signal ${signal}`, { subject });
    }
    if (record.exit !== undefined)
      throw blazarError("ProcessNotFound", operation, "it has ended", { subject });
    if (!record.started && execId !== "")
      throw blazarError("ProcessNotRunning", operation, "it has not been started", { subject });
    try {
      await container.signal(execId, signal, all);
    } catch (error) {
      // The guest knows of the exit before we do; not-found of a process that lives for us would hang StopContainer.
      if (!(error instanceof BlazarError && error.kind === "notFound")) throw error;
    }
  }

  async delete(id: string, execId: string): Promise<{ pid: number; exitStatus: number; exitedAt: Date }> {
    const container = this.container(id);
    const record = container.record(execId);
    if (record.started && record.exit === undefined) {
      throw blazarError("IllegalTransition", "delete the process", "it is still running", {
        subject: name(id, execId),
        remedy: "kill it first",
      });
    }
    const exit = record.exit ?? { exitStatus: 128 + SIGKILL, exitedAt: new Date(this.host.now()) };
    if (execId === "") await this.deleteContainer(container, exit);
    else {
      await container.removeExec(execId);
      this.containerActor(container)?.send({ type: "process.remove", execId });
    }
    return { pid: record.pid, ...exit };
  }

  pids(id: string): Promise<number[]> {
    const records = [...this.container(id).processes.values()];
    const alive = records.filter(
      (record) => record.execId === "" || (record.started && record.exit === undefined),
    );
    return Promise.resolve(alive.map((record) => record.pid));
  }

  async closeIO(id: string, execId: string): Promise<void> {
    await this.container(id).record(execId).relay?.closeInput();
  }

  async resizePty(id: string, execId: string, width: number, height: number): Promise<void> {
    const container = this.container(id);
    const record = container.record(execId);
    if (record.exit !== undefined)
      throw blazarError("ProcessNotFound", "resize the terminal", "the process has ended", {
        subject: name(id, execId),
      });
    if (!record.terminal)
      throw blazarError("InvalidArgument", "resize the terminal", "the process has none", {
        subject: name(id, execId),
      });
    await container.resize(execId, height, width);
  }

  connect(id: string): { taskPid: number; version: string } {
    return { taskPid: this.container(id).init.pid, version: "v3" };
  }

  shutdown(_id: string): void {
    // Nothing to end: there is no shim.
  }

  started(container: ContainerRuntime, process: ProcessRecord): void {
    const { execId, pid } = process;
    this.publish(container, execId === "" ? { type: "start", pid } : { type: "exec-started", execId, pid });
  }

  exited(container: ContainerRuntime, process: ProcessRecord, oomKilled: boolean): void {
    if (process.exit === undefined) return;
    if (oomKilled) this.publish(container, { type: "oom" });
    const id = process.execId === "" ? container.id : process.execId;
    this.publish(container, { type: "exit", id, pid: process.pid, ...process.exit });
  }

  private async deleteContainer(container: ContainerRuntime, exit: ProcessExitRecord): Promise<void> {
    await container.waitForOutput(container.init);
    const actor = this.containerActor(container);
    if (actor?.getSnapshot().status === "active") {
      actor.send({ type: "container.delete" });
      const snapshot = await until(actor, (now) => now.matches("present"));
      if (snapshot.status === "active") {
        const { failure } = snapshot.context;
        throw failure === undefined
          ? blazarError("Internal", "delete the container", "it is still there", { subject: container.id })
          : errorOf(failure, container.id);
      }
    }
    await container.closeStdio();
    container.init.end(exit);
    this.drop(container);
    this.publish(container, { type: "delete", pid: container.init.pid, ...exit });
  }

  /** Whoever waits for one of its processes waits for nothing: it ends now, if it has not ended before. */
  private drop(container: ContainerRuntime): void {
    const exit = { exitStatus: 128 + SIGKILL, exitedAt: new Date(this.host.now()) };
    for (const record of container.processes.values()) record.end(exit);
    if (this.containers.get(container.id) === container) this.containers.delete(container.id);
    container.sandbox.containers.delete(container.id);
  }

  private container(id: string): ContainerRuntime {
    const container = this.containers.get(id);
    if (container !== undefined) return container;
    throw blazarError("ContainerNotFound", "find the container", "no such container", { subject: id });
  }

  private containerOfPid(pid: number): string {
    for (const container of this.containers.values()) if (container.init.pid === pid) return container.id;
    throw blazarError("InvalidSpec", "join a PID namespace", "no container has this pid", {
      subject: `task ${pid}`,
    });
  }

  private containerActor(container: ContainerRuntime): ContainerActor | undefined {
    if (!this.sandboxes.ids().includes(container.sandbox.id)) return undefined;
    return this.sandboxes.entry(container.sandbox.id).containerActor(container.id);
  }

  private processActor(container: ContainerRuntime, execId: string): ProcessActor | undefined {
    return this.containerActor(container)?.getSnapshot().children[processActorId(execId)];
  }

  private publish(container: ContainerRuntime, event: EventBody): void {
    const namespace = container.namespace ?? "k8s.io";
    this.host.events.publish({ ...event, namespace, containerId: container.id } as TaskEvent);
  }
}

function pathsOf({ stdin, stdout, stderr }: { stdin: string; stdout: string; stderr: string }) {
  return { stdin, stdout, stderr };
}

function name(id: string, execId: string): string {
  return execId === "" ? id : `${id}/${execId}`;
}
