/**
 * The containers of the node and their processes: the implementation of the task port on top of the charts.
 *
 * containerd needs three rules (its task.v3 client): Kill says not-found only of a process that has ended; Pids is never
 * empty before Delete; Delete unmounts before it answers. Everything that can be answered from records is.
 */
import type { TranslatedContainer } from "../../backends/backend.ts";
import type { Deadlines } from "../../contracts/deadlines.ts";
import { blazarError } from "../../contracts/errors.ts";
import type { CgroupStats } from "../../contracts/stats.ts";
import type {
  ProcessState,
  ProcessStatus,
  TaskCreateRequest,
  TaskEvent,
  TaskEvents,
  TaskExecRequest,
  TaskService,
} from "../../contracts/task.ts";
import { abortable } from "../../lib/async.ts";
import { checkId } from "../../lib/ids.ts";
import { LAST_SIGNAL, SIGKILL, signalStatus } from "../../lib/signals.ts";
import { processActorId } from "../../machines/container.machine.ts";
import { errorOf } from "../../machines/failure.ts";
import type { ProcessActor } from "../../machines/process.machine.ts";
import type { GuestProcess } from "../../protocol/guest/messages.ts";
import type { SandboxRegistry } from "../sandbox/registry.ts";
import type { Pace } from "../supply/pace.ts";
import { unlessGone } from "../unless-gone.ts";
import { until } from "../until.ts";
import { Container, type ContainerObserver } from "./container.actor.ts";
import type { ContainerRegistry } from "./container-registry.ts";
import { type ProcessExitRecord, ProcessRecord } from "./process-record.ts";

/** Task pids start beyond PID_MAX_LIMIT of 64-bit Linux (2^22), so that none is ever a host process. */
const FIRST_TASK_PID = 4_194_304 + 1;
/** tty_ioctl(2), struct winsize. */
const MOST_CELLS = 65_535;

type EventBody = TaskEvent extends infer E
  ? E extends TaskEvent
    ? Omit<E, "namespace" | "containerId">
    : never
  : never;

/** Reads OCI specs (opencontainers/runtime-spec). Throws InvalidSpec, UnsupportedSpec. */
export interface SpecTranslator {
  container(spec: unknown): TranslatedContainer;
  resources(resources: unknown): {
    readonly cgroup: Readonly<Record<string, string>>;
    readonly warnings: readonly string[];
  };
  process(process: unknown): {
    readonly process: GuestProcess;
    readonly warnings: readonly string[];
    readonly notices: readonly string[];
  };
}

export interface TaskPorts {
  readonly sandboxes: SandboxRegistry;
  readonly containers: ContainerRegistry;
  readonly specs: SpecTranslator;
  readonly events: TaskEvents;
  readonly pace: Pick<Pace, "activity">;
  readonly deadlines: Pick<Deadlines, "outputDrain">;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

export class ContainerTasks implements TaskService, ContainerObserver {
  private nextPid = FIRST_TASK_PID;
  private readonly told = new Set<string>();

  constructor(private readonly ports: TaskPorts) {}

  sandboxOf(id: string): string | undefined {
    const { containers } = this.ports;
    return containers.has(id) ? containers.get(id).sandboxId : undefined;
  }

  create(request: TaskCreateRequest): Promise<{ pid: number }> {
    return this.ports.pace.activity.during(() => this.createContainer(request));
  }

  private async createContainer(request: TaskCreateRequest): Promise<{ pid: number }> {
    const operation = "create the container";
    const { id } = request;
    const container = this.newContainer(request, operation);
    const sandbox = this.ports.sandboxes.entry(container.sandboxId);
    this.ports.containers.add(container);
    sandbox.send({ type: "container.add", containerId: id });
    container.actor = sandbox.containerActor(id);
    const snapshot = container.actor && (await until(container.actor, (now) => now.matches("present")));
    if (snapshot === undefined || snapshot.status !== "active") {
      this.ports.containers.remove(container);
      const failure = snapshot?.context.failure;
      if (failure !== undefined) throw errorOf(failure, id);
      throw blazarError("SandboxNotReady", operation, "its sandbox has ended meanwhile", { subject: id });
    }
    const { bundle, rootfs, stdin, stdout, stderr, terminal } = request;
    const { pid } = container.init;
    this.publish(container, { type: "create", bundle, rootfs, stdin, stdout, stderr, terminal, pid });
    return { pid };
  }

  /** Checks what is asked; nothing is made before that. */
  private newContainer(request: TaskCreateRequest, operation: string): Container {
    const { id, sandboxId, terminal } = request;
    const { sandboxes, containers, specs, now } = this.ports;
    checkId(id, operation);
    if (containers.has(id))
      throw blazarError("ContainerExists", operation, "there is one with this id", { subject: id });
    if (sandboxId === undefined)
      throw blazarError("InvalidSpec", operation, "its bundle names no sandbox", { subject: id });
    const { sandbox, actor } = sandboxes.entry(sandboxId);
    if (!actor.getSnapshot().matches("ready")) {
      const reason = `sandbox ${sandboxId} is ${sandboxes.status(sandboxId).phase}`;
      throw blazarError("SandboxNotReady", operation, reason, { subject: id });
    }
    const translated = specs.container(request.spec);
    const pidTarget = translated.pidTarget === undefined ? "" : this.containerOfPid(translated.pidTarget);
    const pid = this.nextPid++;
    const init = new ProcessRecord({
      ...{ execId: "", pid, paths: pathsOf(request), terminal, process: undefined },
    });
    const outputDrainMs = this.ports.deadlines.outputDrain;
    const options = {
      home: sandbox,
      request,
      translated,
      pidTarget,
      init,
      observer: this,
      now,
      outputDrainMs,
    };
    const container = new Container(options);
    this.warn(container, "container", translated.warnings);
    this.tellOnce(container, translated.notices);
    return container;
  }

  async start(id: string, execId: string): Promise<{ pid: number }> {
    const container = this.ports.containers.get(id);
    const record = container.record(execId);
    const actor = processActor(container, execId);
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
    const container = this.ports.containers.get(id);
    checkId(execId, operation);
    if (container.processes.has(execId))
      throw blazarError("ProcessExists", operation, "there is one with this id", { subject });
    if (!container.init.started || container.init.exit !== undefined)
      throw blazarError("ContainerNotRunning", operation, "the container does not run", { subject });
    const { process: asked, warnings, notices } = this.ports.specs.process(request.process);
    this.warn(container, "process", warnings);
    this.tellOnce(container, notices);
    if (container.paused)
      throw blazarError("IllegalTransition", operation, "the container is paused", { subject });
    const { terminal } = request;
    const process = { ...asked, terminal };
    const pid = this.nextPid++;
    container.add(new ProcessRecord({ execId, pid, paths: pathsOf(request), terminal, process }));
    container.actor?.send({ type: "process.add", execId });
    this.publish(container, { type: "exec-added", execId });
    await Promise.resolve();
  }

  state(id: string, execId: string): ProcessState {
    const container = this.ports.containers.get(id);
    const record = container.record(execId);
    return {
      id,
      execId,
      pid: record.pid,
      status: statusOf(container, record),
      ...record.paths,
      terminal: record.terminal,
      exitStatus: record.exit?.exitStatus ?? 0,
      ...(record.exit === undefined ? {} : { exitedAt: record.exit.exitedAt }),
      bundle: container.bundle,
    };
  }

  async wait(id: string, execId: string, signal?: AbortSignal): Promise<ProcessExitRecord> {
    const { exited } = this.ports.containers.get(id).record(execId);
    if (signal === undefined) return exited;
    return abortable(exited, signal, { operation: "wait for the process", subject: name(id, execId) });
  }

  async kill(id: string, execId: string, signal: number, all: boolean): Promise<void> {
    const container = this.ports.containers.get(id);
    const record = container.record(execId);
    const operation = "signal the process";
    const subject = name(id, execId);
    if (!Number.isInteger(signal) || signal < 1 || signal > LAST_SIGNAL) {
      throw blazarError("InvalidArgument", operation, `signal ${signal}: not from 1 to ${LAST_SIGNAL}`, {
        subject,
      });
    }
    if (record.exit !== undefined)
      throw blazarError("ProcessNotFound", operation, "it has ended", { subject });
    if (!record.started && execId !== "")
      throw blazarError("ProcessNotRunning", operation, "it has not been started", { subject });
    // a containerd that was restarted kills what its predecessor was having made, and waits for the end
    // a guest that hangs must not keep it from that
    if (signal === SIGKILL && execId === "" && container.callOff())
      return container.endAll(signalStatus(SIGKILL));
    // not-found of a process that lives for us would hang containerd's StopContainer; so would an error while its VM ends
    await container.signal(execId, signal, all).catch(unlessGone);
  }

  async delete(id: string, execId: string): Promise<{ pid: number; exitStatus: number; exitedAt: Date }> {
    const container = this.ports.containers.get(id);
    const record = container.record(execId);
    if (record.started && record.exit === undefined) {
      throw blazarError("IllegalTransition", "delete the process", "it is still running", {
        subject: name(id, execId),
        remedy: "kill it first",
      });
    }
    const exit = record.exit ?? { exitStatus: signalStatus(SIGKILL), exitedAt: new Date(this.ports.now()) };
    if (execId === "") await this.deleteContainer(container, exit);
    else {
      await container.removeExec(execId);
      container.actor?.send({ type: "process.remove", execId });
    }
    return { pid: record.pid, ...exit };
  }

  async stats(id: string): Promise<CgroupStats> {
    return this.ports.containers.get(id).stats();
  }

  async update(id: string, resources: unknown): Promise<void> {
    const container = this.ports.containers.get(id);
    const { cgroup, warnings } = this.ports.specs.resources(resources);
    this.warn(container, "update", warnings);
    await container.update(cgroup);
  }

  pause(id: string): Promise<void> {
    return this.setPaused(id, true);
  }

  resume(id: string): Promise<void> {
    return this.setPaused(id, false);
  }

  private async setPaused(id: string, paused: boolean): Promise<void> {
    const operation = paused ? "pause the container" : "resume the container";
    const container = this.ports.containers.get(id);
    const status = statusOf(container, container.init);
    if (status !== (paused ? "running" : "paused"))
      throw blazarError("IllegalTransition", operation, `it is ${status}`, { subject: id });
    await container.pause(paused);
    this.publish(container, { type: paused ? "paused" : "resumed" });
  }

  pids(id: string): Promise<{ pid: number; execId: string }[]> {
    const records = [...this.ports.containers.get(id).processes.values()];
    const alive = records.filter(
      (record) => record.execId === "" || (record.started && record.exit === undefined),
    );
    return Promise.resolve(alive.map(({ pid, execId }) => ({ pid, execId })));
  }

  async closeIO(id: string, execId: string): Promise<void> {
    const container = this.ports.containers.get(id);
    await container.closeInput(container.record(execId).execId);
  }

  async resizePty(id: string, execId: string, width: number, height: number): Promise<void> {
    const container = this.ports.containers.get(id);
    const record = container.record(execId);
    if (record.exit !== undefined)
      throw blazarError("ProcessNotFound", "resize the terminal", "the process has ended", {
        subject: name(id, execId),
      });
    if (!record.terminal)
      throw blazarError("InvalidArgument", "resize the terminal", "the process has none", {
        subject: name(id, execId),
      });
    if (Math.max(width, height) > MOST_CELLS)
      throw blazarError(
        "InvalidArgument",
        "resize the terminal",
        `${width} × ${height}: more than ${MOST_CELLS}`,
        {
          subject: name(id, execId),
        },
      );
    // an exec that has not begun has its size from its first command on
    if (record.process !== undefined && processActor(container, execId)?.getSnapshot().matches("pending"))
      record.process = { ...record.process, rows: height, columns: width };
    else await container.resize(execId, height, width);
  }

  connect(id: string): { taskPid: number; version: string } {
    return { taskPid: this.ports.containers.get(id).init.pid, version: "v3" };
  }

  shutdown(_id: string): void {
    // Nothing to end: there is no shim.
  }

  started(container: Container, process: ProcessRecord): void {
    const { execId, pid } = process;
    this.publish(container, execId === "" ? { type: "start", pid } : { type: "exec-started", execId, pid });
  }

  oomKilled(container: Container): void {
    this.publish(container, { type: "oom" });
  }

  exited(container: Container, process: ProcessRecord): void {
    if (process.exit === undefined) return;
    const id = process.execId === "" ? container.id : process.execId;
    this.publish(container, { type: "exit", id, pid: process.pid, ...process.exit });
  }

  private async deleteContainer(container: Container, exit: ProcessExitRecord): Promise<void> {
    await container.waitForOutput(container.init);
    const { actor } = container;
    if (actor?.getSnapshot().status === "active") {
      actor.send({ type: "container.delete" });
      const snapshot = await until(actor, (now) => now.matches("present"));
      if (snapshot.status === "active") {
        const { failure } = snapshot.context;
        if (failure !== undefined) throw errorOf(failure, container.id);
        const subject = container.id;
        throw blazarError("Internal", "delete the container", "it is still there", { subject });
      }
    }
    await container.closeStdio();
    container.init.end(exit);
    this.ports.containers.remove(container);
    this.publish(container, { type: "delete", pid: container.init.pid, ...exit });
  }

  private containerOfPid(pid: number): string {
    const container = this.ports.containers.withPid(pid);
    if (container !== undefined) return container.id;
    const subject = `task ${pid}`;
    throw blazarError("InvalidSpec", "join a PID namespace", "no container has this pid", { subject });
  }

  private warn(container: Container, what: string, ignored: readonly string[]): void {
    if (ignored.length > 0) container.logger.warn({ ignored }, `parts of the ${what}'s spec are not obeyed`);
  }

  /** The notices are few: they are sentences of the program's own. */
  private tellOnce(container: Container, notices: readonly string[]): void {
    for (const notice of notices) {
      if (this.told.has(notice)) continue;
      this.told.add(notice);
      container.logger.info({}, notice);
    }
  }

  private publish(container: Container, event: EventBody): void {
    const namespace = container.namespace ?? "k8s.io";
    this.ports.events.publish({ ...event, namespace, containerId: container.id } as TaskEvent);
  }
}

function processActor(container: Container, execId: string): ProcessActor | undefined {
  return container.actor?.getSnapshot().children[processActorId(execId)];
}

function statusOf(container: Container, record: ProcessRecord): ProcessStatus {
  if (record.exit !== undefined) return "stopped";
  if (!record.started) return "created";
  return container.paused ? "paused" : "running";
}

function pathsOf({ stdin, stdout, stderr }: { stdin: string; stdout: string; stderr: string }) {
  return { stdin, stdout, stderr };
}

function name(id: string, execId: string): string {
  return execId === "" ? id : `${id}/${execId}`;
}
