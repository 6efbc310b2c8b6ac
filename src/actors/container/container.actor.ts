/**
 * The effects of one container and its processes: what the steps of their charts really do, on a backend's container.
 *
 * Owns a record of each process. containerd's questions (state, wait) are answered from the records, never by the guest.
 */
import type {
  AdoptedContainer,
  BackendContainer,
  KnownProcess,
  SandboxBackend,
} from "../../backends/backend.ts";
import type { Deadlines } from "../../contracts/deadlines.ts";
import { blazarError } from "../../contracts/errors.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { CgroupStats } from "../../contracts/stats.ts";
import { onAbort, within } from "../../lib/async.ts";
import { monotonicNow } from "../../lib/deadline-timer.ts";
import { SIGKILL, signalStatus } from "../../lib/signals.ts";
import type { ContainerActor } from "../../machines/container.machine.ts";
import type { FoundProcess, ProcessContext } from "../../machines/process.machine.ts";
import type { HeldResources } from "../resources/held.ts";
import { unlessGone } from "../unless-gone.ts";
import { Inside } from "./inside.ts";
import type { ProcessRecord } from "./process-record.ts";

/** The sandbox that a container lives in. */
export interface ContainerHome {
  readonly id: string;
  readonly logger: Logger;
  readonly backend: Pick<SandboxBackend, "container" | "adoptContainer">;
  readonly resources: Pick<HeldResources, "fact">;
  /** Resolves when its chart has it taken over from an earlier daemon, or has given up; undefined at any other time. */
  readonly adopted: Promise<void> | undefined;
  /** The same for the backend, which settles before the chart, or after it if the chart has given up. Neither rejects. */
  readonly reached: Promise<void> | undefined;
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
  readonly id: string;
  readonly bundle: string;
  readonly namespace: string | undefined;
  readonly init: ProcessRecord;
  readonly observer: ContainerObserver;
  readonly now: () => number;
  readonly deadlines: Pick<Deadlines, "containerEnd" | "outputDrain">;
  /** What runs it. Undefined: an earlier daemon has made it, and it is taken up when its sandbox has been taken over. */
  readonly inside: Inside | undefined;
  /** What that daemon knew of its disk, and whether it was paused. */
  readonly known?: { readonly diskId: string; readonly paused?: boolean | undefined };
}

/** Longest that a deleted process's last output may take to its FIFO, once it has left the guest. */
const DRAIN_MS = 5_000;
/** From a guest's answer to SIGKILL until it is asked again. With deadlines.guestKill, a stop keeps to its time. */
const END_MS = 500;
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
  private readonly inside: Inside;
  private readonly home: ContainerHome;
  private readonly observer: ContainerObserver;
  private readonly now: () => number;
  private readonly deadlines: ContainerOptions["deadlines"];
  private readonly knownDisk: string;
  private isPaused: boolean;
  /** The keeper that had its streams has died. */
  private isForsaken = false;
  /** Its end after SIGKILL is waited for. */
  private isEnding = false;

  constructor(options: ContainerOptions) {
    const { home, id, init, observer, now, known } = options;
    this.deadlines = options.deadlines;
    this.id = id;
    this.sandboxId = home.id;
    this.bundle = options.bundle;
    this.namespace = options.namespace;
    this.logger = home.logger.child({ container: id });
    this.home = home;
    this.init = init;
    this.observer = observer;
    this.now = now;
    this.processes.set("", init);
    this.knownDisk = known?.diskId ?? "";
    this.isPaused = known?.paused ?? false;
    this.inside = options.inside ?? Inside.later(() => this.takeUp());
  }

  /** Serial number of the disk that its root or its writable layer is on; "" if it has none. */
  get diskId(): string {
    return this.inside.now?.diskId ?? this.knownDisk;
  }

  /** Resolves when its sandbox is no longer being taken over from an earlier daemon; undefined if it is not. */
  get adopted(): Promise<void> | undefined {
    return this.home.adopted;
  }

  /** Where its chart begins if an earlier daemon has left it: its processes by exec id. */
  get found(): Readonly<Record<string, FoundProcess>> {
    return Object.fromEntries([...this.processes].map(([execId, record]) => [execId, record.found]));
  }

  /** Its streams are gone for good: they are not taken up, nor waited for. */
  forsake(): void {
    this.isForsaken = true;
  }

  /** A process that an earlier daemon has left. */
  addKnown(record: ProcessRecord): void {
    this.processes.set(record.execId, record);
  }

  /**
   * What the guest says counts more than what an earlier daemon knew: exits that nobody told, processes that run already.
   * @param guest what the guest knows of it; undefined: it has no such container (any more)
   */
  reconcile(guest: AdoptedContainer | undefined): void {
    this.isPaused = guest?.paused ?? false;
    for (const record of this.processes.values()) {
      const { execId } = record;
      const process = guest?.processes.find((each) => each.execId === execId);
      record.streams = process?.streams ?? record.streams;
      if (record.exit !== undefined) continue;
      if (process?.state === "running") this.actor?.send({ type: "process.found", execId });
      else if (process?.state === "exited") this.exitFound(execId, process.status);
      // an exec that was never started is not known to the guest
      else if (process === undefined && (guest === undefined || record.mayRun))
        this.exitFound(execId, signalStatus(SIGKILL));
    }
  }

  private exitFound(execId: string, status: number): void {
    this.actor?.send({ type: "process.exited", execId, status });
  }

  /** Takes up what an earlier daemon has left of it; what goes on by itself goes on from here. Never rejects. */
  async adopt(): Promise<void> {
    await this.inside.reach().catch((error: unknown) => {
      this.logger.error(
        { err: error },
        "could not take up a container of an earlier daemon; its next call tries again",
      );
    });
  }

  private async takeUp() {
    await this.home.reached;
    const records = this.isForsaken ? [] : [...this.processes.values()];
    const processes = records.flatMap((record): KnownProcess[] => {
      const { execId, paths, terminal, streams, exit } = record;
      return streams === undefined ? [] : [{ execId, paths, terminal, streams, exited: exit !== undefined }];
    });
    return await this.home.backend.adoptContainer(this.id, processes);
  }

  async create(signal: AbortSignal): Promise<void> {
    await (await this.inside.reach()).create(signal);
    // not earlier: what is only half made is undone by a later daemon, and its intents should not wait for a fact
    await Promise.all([this.rememberItself(), this.remember(this.init)]);
  }

  /** Undoes the container, whatever of it exists; the guest's part only if there is a guest. */
  async remove(signal: AbortSignal): Promise<void> {
    await (await this.inside.reach()).remove(signal);
    for (const execId of this.processes.keys()) this.forget(execId);
    void this.home.resources.fact(`container/${this.id}`, null);
  }

  /** Resolves when no creation is under way. */
  async settled(): Promise<void> {
    await this.inside.now?.settled();
  }

  /** Starts the init process or an exec. */
  async start(execId: string, signal: AbortSignal): Promise<void> {
    const record = this.record(execId);
    const { process, paths, terminal } = record;
    const inside = await this.inside.reach();
    await (process === undefined
      ? inside.start(signal)
      : inside.exec({ execId, process, paths, terminal }, signal));
  }

  /** Signals a process, or all of the container. */
  async signal(execId: string, signal: number, all: boolean, token?: string): Promise<void> {
    const inside = await this.inside.reach();
    try {
      await inside.signal(execId, signal, all, token);
    } finally {
      // a guest may say that there is nothing to kill, too
      if (signal === SIGKILL && execId === "") void this.makeSureOfEnd(inside);
    }
  }

  /**
   * A guest that hangs since it has answered tells of no end: another SIGKILL finds that out, and has a deadline. One that answers
   * that as well has a deadline for the end.
   */
  private async makeSureOfEnd(inside: BackendContainer): Promise<void> {
    const { init } = this;
    if (this.isEnding || !init.started) return;
    this.isEnding = true;
    try {
      if ((await within(init.exited, END_MS)) !== undefined) return;
      await inside.signal("", SIGKILL, true).catch(() => undefined);
      const { containerEnd } = this.deadlines;
      if ((await within(init.exited, containerEnd)) !== undefined) return;
      inside.giveUp(`its guest has answered SIGKILL, and told of no end within ${containerEnd} ms`);
    } finally {
      this.isEnding = false;
    }
  }

  async resize(execId: string, rows: number, columns: number): Promise<void> {
    await (await this.inside.reach()).resize(execId, rows, columns);
  }

  get paused(): boolean {
    return this.isPaused;
  }

  async pause(paused: boolean): Promise<void> {
    await (await this.inside.reach()).pause(paused);
    this.isPaused = paused;
    void this.rememberItself();
  }

  async update(cgroup: Readonly<Record<string, string>>): Promise<void> {
    await (await this.inside.reach()).update(cgroup);
  }

  async stats(): Promise<CgroupStats> {
    return await (await this.inside.reach()).stats();
  }

  async children(): Promise<readonly number[]> {
    return await (await this.inside.reach()).children();
  }

  async closeInput(execId: string): Promise<void> {
    await (await this.inside.reach()).stdio(execId)?.closeInput();
  }

  /** Registers an exec, to be started later. Resolves when a later daemon would know of it. */
  add(record: ProcessRecord): Promise<void> {
    this.processes.set(record.execId, record);
    return this.remember(record);
  }

  /** Takes back what {@link add} has done. */
  withdraw(execId: string): void {
    this.processes.delete(execId);
    this.forget(execId);
  }

  /** Forgets an exec that has ended, after its last output. */
  async removeExec(execId: string): Promise<void> {
    const record = this.record(execId);
    await this.waitForOutput(record);
    const inside = await this.inside.reach();
    if (record.started) await inside.removeExec(execId);
    await inside.closeStdio(execId);
    this.processes.delete(execId);
    this.forget(execId);
  }

  /** Nothing runs in it yet: its creation is undone, or is being undone already. False: the container has been made. */
  callOff(): boolean {
    const snapshot = this.actor?.getSnapshot();
    if (snapshot?.matches("creating")) this.actor?.send({ type: "container.lost" });
    return snapshot?.matches("creating") === true || snapshot?.matches("abandoning") === true;
  }

  /** Kills everything in the container and waits until its processes have ended, or the signal aborts. */
  async kill(signal: AbortSignal): Promise<void> {
    const running = [...this.processes.values()].filter((record) => record.mayRun);
    if (running.length === 0) return;
    if (!this.callOff()) await this.signal("", SIGKILL, true).catch(unlessGone);
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
    await Promise.all([...this.processes.keys()].map((execId) => this.inside.now?.stdio(execId)?.drained));
  }

  /** Waits for a process's last output, but not for ever: its reader may be gone. */
  async waitForOutput({ execId, started }: ProcessRecord): Promise<void> {
    const stdio = this.inside.now?.stdio(execId);
    if (stdio !== undefined && started) await within(stdio.drained, this.deadlines.outputDrain + DRAIN_MS);
  }

  /** The guest is gone: outputs end where they are. */
  guestGone(): void {
    this.inside.ended();
  }

  async closeStdio(): Promise<void> {
    await this.inside.now?.closeAllStdio();
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
    // an earlier daemon has told it
    if (record === undefined || record.started) return;
    record.started = true;
    record.process = undefined;
    void this.remember(record);
    this.observer.started(this, record);
  }

  /** The chart says that a process has ended. */
  announceExit({ execId, status, failure }: ProcessContext): void {
    const record = this.processes.get(execId);
    // an earlier daemon has told it
    if (record === undefined || record.exit !== undefined) return;
    if (failure === undefined) record.started = true;
    record.end({ exitStatus: status, exitedAt: new Date(this.now()) });
    void this.remember(record);
    if (failure === undefined) this.observer.exited(this, record);
  }

  /**
   * The kernel tells of each kill, and some are one: those of a group, and those that a guest makes up. What has not run, or has
   * ended before, was not killed.
   */
  announceOom(): void {
    if (!this.init.started || this.init.exit !== undefined) return;
    const now = monotonicNow();
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

  /** Writes what a later daemon has to know of the container. */
  private rememberItself(): Promise<void> {
    const { bundle, namespace, diskId } = this;
    const paused = this.isPaused ? { paused: true } : {};
    return this.home.resources.fact(`container/${this.id}`, { bundle, namespace, diskId, ...paused });
  }

  /** Writes what a later daemon has to know of a process. */
  private remember(record: ProcessRecord): Promise<void> {
    const { execId, pid, paths, terminal, started, process, exit } = record;
    const streams = this.inside.now?.stdio(execId)?.streams ?? record.streams;
    const end = exit && { status: exit.exitStatus, at: exit.exitedAt.getTime() };
    const fact = { pid, paths, terminal, started, streams, process, exit: end };
    return this.home.resources.fact(`process/${this.id}/${execId}`, fact);
  }

  private forget(execId: string): void {
    void this.home.resources.fact(`process/${this.id}/${execId}`, null);
  }
}
