/**
 * The containers of the node and their processes: the implementation of the task port on top of the charts.
 *
 * containerd needs three rules (its task.v3 client): Kill says not-found only of a process that has ended; Pids is never
 * empty before Delete; Delete unmounts before it answers. Everything that can be answered from records is.
 */
import { blazarError } from "../../contracts/errors.ts";
import type { CgroupStats } from "../../contracts/stats.ts";
import type {
  ProcessState,
  ProcessStatus,
  TaskCallOrigin,
  TaskCreateRequest,
  TaskEvent,
  TaskEvents,
  TaskExecRequest,
  TaskService,
} from "../../contracts/task.ts";
import { abortable, within } from "../../lib/async.ts";
import { checkId } from "../../lib/ids.ts";
import { LAST_SIGNAL, SIGKILL, signalStatus } from "../../lib/signals.ts";
import { processActorId } from "../../machines/container.machine.ts";
import { errorOf, failureOf } from "../../machines/failure.ts";
import type { ProcessActor } from "../../machines/process.machine.ts";
import type { KnownContainer } from "../resources/known-sandbox.ts";
import type { SandboxRegistry } from "../sandbox/registry.ts";
import type { StrandedSandboxes } from "../sandbox/stranded.ts";
import type { Pace } from "../supply/pace.ts";
import { unlessGone } from "../unless-gone.ts";
import { until } from "../until.ts";
import type { Container, ContainerHome, ContainerObserver } from "./container.actor.ts";
import { ContainerCreation } from "./container-creation.ts";
import { ContainerMaker, type ContainerMakerPorts } from "./container-maker.ts";
import type { ProcessExitRecord, ProcessRecord } from "./process-record.ts";

/** tty_ioctl(2), struct winsize. */
const MOST_CELLS = 65_535;

/** Beyond all pids of tasks, which are counted from 2^22 on. A guest's own are below that. */
const FIRST_CHILD_PID = 2 ** 30;
/** Containers and execs of a pod: their streams are in the keeper, which all pods share (keeper/stdio/stdio.ts). */
const MOST_PROCESSES = 256;
/** Of a container, in an answer to containerd. */
const MOST_CHILDREN = 10_000;

type EventBody = TaskEvent extends infer E
  ? E extends TaskEvent
    ? Omit<E, "namespace" | "containerId">
    : never
  : never;

export interface TaskPorts extends ContainerMakerPorts {
  readonly sandboxes: SandboxRegistry;
  readonly stranded: StrandedSandboxes;
  readonly events: TaskEvents;
  readonly pace: Pick<Pace, "activity">;
}

export class ContainerTasks implements TaskService, ContainerObserver {
  private readonly maker: ContainerMaker;
  private readonly creation: ContainerCreation;

  constructor(private readonly ports: TaskPorts) {
    this.maker = new ContainerMaker(ports, this);
    this.creation = new ContainerCreation(ports, this.maker);
  }

  /** Adds what an earlier daemon has left in a sandbox that is about to be taken over. */
  adopt(home: ContainerHome, containers: readonly KnownContainer[]): void {
    for (const known of containers) this.ports.containers.add(this.maker.adopt(home, known));
  }

  sandboxOf(id: string): string | undefined {
    const { containers } = this.ports;
    return containers.has(id) ? containers.get(id).sandboxId : undefined;
  }

  create(request: TaskCreateRequest, origin?: TaskCallOrigin): Promise<{ pid: number }> {
    return this.ports.pace.activity.during(async () => {
      const { container, isNew } = await this.creation.create(request, origin);
      const { bundle, rootfs, stdin, stdout, stderr, terminal } = request;
      const { pid } = container.init;
      if (isNew)
        this.publish(container, { type: "create", bundle, rootfs, stdin, stdout, stderr, terminal, pid });
      return { pid };
    });
  }

  async start(id: string, execId: string, origin?: TaskCallOrigin): Promise<{ pid: number }> {
    const container = await this.reachable(id);
    const record = container.record(execId);
    if (origin?.replayed === true && record.started) return { pid: record.pid };
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

  async exec(id: string, execId: string, request: TaskExecRequest, origin?: TaskCallOrigin): Promise<void> {
    const operation = "add a process to the container";
    const subject = name(id, execId);
    const container = await this.reachable(id);
    checkId(execId, operation);
    const before = container.processes.get(execId);
    // an earlier daemon has added it, and has died before it could say so
    if (origin?.replayed === true && before !== undefined && !before.started) return;
    if (before !== undefined)
      throw blazarError("ProcessExists", operation, "there is one with this id", { subject });
    if (!container.init.started || container.init.exit !== undefined)
      throw blazarError("ContainerNotRunning", operation, "the container does not run", { subject });
    const siblings = this.ports.containers.of(container.sandboxId);
    const present = siblings.reduce((sum, { processes }) => sum + processes.size, 0);
    if (present >= MOST_PROCESSES)
      throw blazarError("ResourceExhausted", operation, `the pod has ${present} containers and execs`, {
        subject,
        remedy: "end some of its execs",
      });
    const record = this.maker.exec(container, execId, request);
    if (container.paused)
      throw blazarError("IllegalTransition", operation, "the container is paused", { subject });
    const added = container.add(record);
    container.actor?.send({ type: "process.add", execId });
    await added.catch((error: unknown) => {
      container.actor?.send({ type: "process.remove", execId });
      container.withdraw(execId);
      throw error;
    });
    this.publish(container, { type: "exec-added", execId });
  }

  state(id: string, execId: string): ProcessState {
    const { containers, stranded } = this.ports;
    if (!containers.has(id) && stranded.mayHave(id)) return stranded.assume(id, execId);
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
    const { containers, stranded } = this.ports;
    // any answer would be its end
    if (!containers.has(id) && stranded.mayHave(id)) await stranded.gone(id, signal);
    const { exited } = containers.get(id).record(execId);
    if (signal === undefined) return exited;
    return abortable(exited, signal, { operation: "wait for the process", subject: name(id, execId) });
  }

  async kill(
    id: string,
    execId: string,
    signal: number,
    all: boolean,
    origin?: TaskCallOrigin,
  ): Promise<void> {
    const { containers, stranded } = this.ports;
    if (!containers.has(id) && stranded.mayHave(id) && execId === "") stranded.giveUp(id);
    if (signal === SIGKILL && execId === "") await this.killable(id);
    const container = await this.reachable(id);
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
    if (signal === SIGKILL && execId === "" && container.callOff()) {
      container.endAll(signalStatus(SIGKILL));
      // nor must it keep what is half made: a guest that does not obey is given up
      void container.signal("", SIGKILL, true).catch(() => undefined);
      return;
    }
    // not-found of a process that lives for us would hang containerd's StopContainer; so would an error while its VM ends
    await container.signal(execId, signal, all, origin?.token).catch(unlessGone);
  }

  async delete(id: string, execId: string): Promise<{ pid: number; exitStatus: number; exitedAt: Date }> {
    const container = await this.reachable(id);
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
    return { pid: record.pid, ...(record.exit ?? exit) };
  }

  async stats(id: string): Promise<CgroupStats> {
    return await (await this.reachable(id)).stats();
  }

  async update(id: string, resources: unknown): Promise<void> {
    const container = await this.reachable(id);
    const { cgroup, warnings } = this.ports.specs.resources(resources);
    this.maker.warn(container, "update", warnings);
    await container.update(cgroup);
  }

  pause(id: string, origin?: TaskCallOrigin): Promise<void> {
    return this.setPaused(id, true, origin);
  }

  resume(id: string, origin?: TaskCallOrigin): Promise<void> {
    return this.setPaused(id, false, origin);
  }

  private async setPaused(id: string, paused: boolean, origin: TaskCallOrigin | undefined): Promise<void> {
    const operation = paused ? "pause the container" : "resume the container";
    const container = await this.reachable(id);
    const status = statusOf(container, container.init);
    if (origin?.replayed === true && status === (paused ? "paused" : "running")) return;
    if (status !== (paused ? "running" : "paused"))
      throw blazarError("IllegalTransition", operation, `it is ${status}`, { subject: id });
    await container.pause(paused);
    this.publish(container, { type: paused ? "paused" : "resumed" });
  }

  async pids(id: string): Promise<{ pid: number; execId: string }[]> {
    const container = this.ports.containers.get(id);
    const children = await this.childrenOf(container);
    const records = [...container.processes.values()];
    const alive = records.filter(
      (record) => record.execId === "" || (record.started && record.exit === undefined),
    );
    const own = alive.map(({ pid, execId }) => ({ pid, execId }));
    return [...own, ...children.map((pid) => ({ pid: FIRST_CHILD_PID + pid, execId: "" }))];
  }

  /** What only the guest knows. A guest that does not answer as soon as to a signal does not keep the rest. */
  private async childrenOf(container: Container): Promise<readonly number[]> {
    const { init, adopted } = container;
    if (!init.started || init.exit !== undefined || adopted !== undefined) return [];
    const asked = container.children().catch(() => []);
    return ((await within(asked, this.ports.deadlines.guestSignal)) ?? []).slice(0, MOST_CHILDREN);
  }

  async closeIO(id: string, execId: string): Promise<void> {
    const container = await this.reachable(id);
    await container.closeInput(container.record(execId).execId);
  }

  async resizePty(id: string, execId: string, width: number, height: number): Promise<void> {
    const container = await this.reachable(id);
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
    // one that was started and has ended meanwhile has told its own
    container.init.end(exit);
    this.ports.containers.remove(container);
    this.publish(container, { type: "delete", pid: container.init.pid, ...(container.init.exit ?? exit) });
  }

  /** A container whose guest can be asked: its sandbox is not being taken over any more. Throws ContainerNotFound. */
  private async reachable(id: string): Promise<Container> {
    const { containers } = this.ports;
    const { adopted } = containers.get(id);
    if (adopted !== undefined) await adopted;
    return containers.get(id);
  }

  /** A guest that does not answer a new daemon either obeys SIGKILL in its time, or is given up as at any other time. */
  private async killable(id: string): Promise<void> {
    const { containers, deadlines, sandboxes } = this.ports;
    const { adopted, sandboxId } = containers.get(id);
    const reached = adopted?.then(() => true) ?? Promise.resolve(true);
    if ((await within(reached, deadlines.guestKill)) === true) return;
    const { actor } = sandboxes.entry(sandboxId);
    // it may have been reached in this very moment
    if (!actor.getSnapshot().matches("adopting")) return;
    const reason = `its guest has not answered for ${deadlines.guestKill} ms, and its container is to be killed`;
    const error = blazarError("GuestLost", "take over the sandbox of an earlier daemon", reason, {
      subject: sandboxId,
    });
    actor.send({ type: "guest.lost", failure: failureOf(error) });
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

function name(id: string, execId: string): string {
  return execId === "" ? id : `${id}/${execId}`;
}
