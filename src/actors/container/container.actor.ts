/**
 * The effects of one container and its processes: what the steps of their charts really do, on a backend's container.
 *
 * Owns a record of each process. containerd's questions (state, wait) are answered from the records, never by the guest.
 */
import type { BackendContainer, SandboxBackend, TranslatedContainer } from "../../backends/backend.ts";
import { blazarError } from "../../contracts/errors.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { CgroupStats } from "../../contracts/stats.ts";
import type { TaskCreateRequest } from "../../contracts/task.ts";
import { onAbort, within } from "../../lib/async.ts";
import { SIGKILL } from "../../lib/signals.ts";
import type { ContainerActor } from "../../machines/container.machine.ts";
import type { ProcessContext } from "../../machines/process.machine.ts";
import type { HeldResources } from "../resources/held.ts";
import { unlessGone } from "../unless-gone.ts";
import type { ProcessRecord } from "./process-record.ts";

/** The sandbox that a container lives in. */
export interface ContainerHome {
  readonly id: string;
  readonly logger: Logger;
  readonly backend: Pick<SandboxBackend, "container">;
  readonly resources: Pick<HeldResources, "fact">;
}

/** What the container tells the task service. */
export interface ContainerObserver {
  started(container: Container, process: ProcessRecord): void;
  exited(container: Container, process: ProcessRecord): void;
  /** The kernel has killed processes of the container for want of memory. */
  oomKilled(container: Container): void;
}

export interface ContainerOptions {
  readonly home: ContainerHome;
  readonly request: TaskCreateRequest;
  readonly translated: TranslatedContainer;
  /** Id of the container whose PID namespace is joined, or "". */
  readonly pidTarget: string;
  readonly init: ProcessRecord;
  readonly observer: ContainerObserver;
  readonly now: () => number;
  /** How long the guest keeps the output of an exec that has ended open. */
  readonly outputDrainMs: number;
}

/** Longest that a deleted process's last output may take to its FIFO, once it has left the guest. */
const DRAIN_MS = 5_000;
/** Kills within this time are told as one. */
const OOM_GROUP_MS = 100;

export class Container {
  readonly id: string;
  readonly sandboxId: string;
  readonly bundle: string;
  readonly namespace: string | undefined;
  readonly logger: Logger;
  readonly init: ProcessRecord;
  readonly processes = new Map<string, ProcessRecord>();
  /** The chart, once the sandbox's has spawned it. */
  actor: ContainerActor | undefined;
  private oomAt = Number.NEGATIVE_INFINITY;
  private readonly inside: BackendContainer;
  private readonly home: ContainerHome;
  private readonly observer: ContainerObserver;
  private readonly now: () => number;
  private readonly outputDrainMs: number;
  private isPaused = false;

  constructor(options: ContainerOptions) {
    const { home, request, translated, pidTarget, init, observer, now } = options;
    this.outputDrainMs = options.outputDrainMs;
    this.id = request.id;
    this.sandboxId = home.id;
    this.bundle = request.bundle;
    this.namespace = request.namespace;
    this.logger = home.logger.child({ container: request.id });
    this.home = home;
    this.init = init;
    this.observer = observer;
    this.now = now;
    this.processes.set("", init);
    const shortId = `d${init.pid.toString(36)}`;
    this.inside = home.backend.container({
      ...{ id: request.id, shortId, mounts: request.rootfs, translated, pidTarget },
      ...{ paths: init.paths, terminal: init.terminal },
    });
  }

  /** Serial number of the disk that its root or its writable layer is on; "" if it has none. */
  get diskId(): string {
    return this.inside.diskId;
  }

  async create(signal: AbortSignal): Promise<void> {
    await this.inside.create(signal);
    // not earlier: what is only half made is undone by a later daemon, and its intents should not wait for a fact
    const { bundle, namespace } = this;
    const { diskId } = this.inside;
    void this.home.resources.fact(`container/${this.id}`, { bundle, namespace, diskId });
    this.remember(this.init);
  }

  /** Undoes the container, whatever of it exists; the guest's part only if there is a guest. */
  async remove(signal: AbortSignal): Promise<void> {
    await this.inside.remove(signal);
    for (const execId of this.processes.keys()) this.forget(execId);
    void this.home.resources.fact(`container/${this.id}`, null);
  }

  /** Resolves when no creation is under way. */
  settled(): Promise<void> {
    return this.inside.settled();
  }

  /** Starts the init process or an exec. */
  async start(execId: string, signal: AbortSignal): Promise<void> {
    const record = this.record(execId);
    const { process, paths, terminal } = record;
    await (process === undefined
      ? this.inside.start(signal)
      : this.inside.exec({ execId, process, paths, terminal }, signal));
  }

  /** Signals a process, or all of the container. */
  signal(execId: string, signal: number, all: boolean): Promise<void> {
    return this.inside.signal(execId, signal, all);
  }

  resize(execId: string, rows: number, columns: number): Promise<void> {
    return this.inside.resize(execId, rows, columns);
  }

  get paused(): boolean {
    return this.isPaused;
  }

  async pause(paused: boolean): Promise<void> {
    await this.inside.pause(paused);
    this.isPaused = paused;
  }

  update(cgroup: Readonly<Record<string, string>>): Promise<void> {
    return this.inside.update(cgroup);
  }

  stats(): Promise<CgroupStats> {
    return this.inside.stats();
  }

  async closeInput(execId: string): Promise<void> {
    await this.inside.stdio(execId)?.closeInput();
  }

  /** Registers an exec, to be started later. */
  add(record: ProcessRecord): void {
    this.processes.set(record.execId, record);
    this.remember(record);
  }

  /** Forgets an exec that has ended, after its last output. */
  async removeExec(execId: string): Promise<void> {
    const record = this.record(execId);
    await this.waitForOutput(record);
    if (record.started) await this.inside.removeExec(execId);
    await this.inside.closeStdio(execId);
    this.processes.delete(execId);
    this.forget(execId);
  }

  /** Kills everything in the container and waits until its processes have ended, or the signal aborts. */
  async kill(signal: AbortSignal): Promise<void> {
    const running = [...this.processes.values()].filter((record) => record.mayRun);
    if (running.length === 0) return;
    // the guest knows nothing yet that could be killed: its creation is called off and undone
    if (this.actor?.getSnapshot().matches("creating") === true) this.actor.send({ type: "container.lost" });
    else await this.signal("", SIGKILL, true).catch(unlessGone);
    await new Promise<void>((resolve) => {
      const forget = onAbort(signal, resolve);
      void Promise.all(running.map((record) => record.exited)).then(() => {
        forget();
        resolve();
      });
    });
  }

  /** Resolves when all output is in its FIFOs. */
  async drained(): Promise<void> {
    await Promise.all([...this.processes.keys()].map((execId) => this.inside.stdio(execId)?.drained));
  }

  /** Waits for a process's last output, but not for ever: its reader may be gone. */
  async waitForOutput({ execId, started }: ProcessRecord): Promise<void> {
    const stdio = this.inside.stdio(execId);
    if (stdio !== undefined && started) await within(stdio.drained, this.outputDrainMs + DRAIN_MS);
  }

  /** The guest is gone: outputs end where they are. */
  guestGone(): void {
    this.inside.ended();
  }

  closeStdio(): Promise<void> {
    return this.inside.closeAllStdio();
  }

  record(execId: string): ProcessRecord {
    const record = this.processes.get(execId);
    if (record !== undefined) return record;
    const subject = `${this.id}/${execId}`;
    throw blazarError("ProcessNotFound", "find the process", "no such process", { subject });
  }

  /** The chart says that a process runs. */
  announceStart({ execId }: ProcessContext): void {
    const record = this.processes.get(execId);
    if (record === undefined) return;
    record.started = true;
    record.process = undefined;
    this.remember(record);
    this.observer.started(this, record);
  }

  /** The chart says that a process has ended. */
  announceExit({ execId, status, failure }: ProcessContext): void {
    const record = this.processes.get(execId);
    if (record === undefined) return;
    if (failure === undefined) record.started = true;
    record.end({ exitStatus: status, exitedAt: new Date(this.now()) });
    this.remember(record);
    if (failure === undefined) this.observer.exited(this, record);
  }

  /** The kernel tells of each kill, and some are one: those of a group, and those that a guest makes up. */
  announceOom(): void {
    const now = this.now();
    if (now - this.oomAt < OOM_GROUP_MS) return;
    this.oomAt = now;
    this.observer.oomKilled(this);
  }

  /** Nobody will hear of it again: whoever waits for one of its processes is told that it has ended. */
  endAll(exitStatus: number): void {
    for (const record of this.processes.values()) {
      record.end({ exitStatus, exitedAt: new Date(this.now()) });
    }
  }

  /** Writes what a later daemon has to know of a process. */
  private remember(record: ProcessRecord): void {
    const { execId, pid, paths, terminal, started, process, exit } = record;
    const streams = this.inside.stdio(execId)?.streams;
    const end = exit && { status: exit.exitStatus, at: exit.exitedAt.getTime() };
    const fact = { pid, paths, terminal, started, streams, process, exit: end };
    void this.home.resources.fact(`process/${this.id}/${execId}`, fact);
  }

  private forget(execId: string): void {
    void this.home.resources.fact(`process/${this.id}/${execId}`, null);
  }
}
