/**
 * The effects of one container and its processes: what the steps of their charts really do.
 *
 * Owns the container's handles: its part of the storage, its disk in the VM, and a record with the stdio relay
 * of each process. containerd's questions (state, wait) are answered from the records, never by the guest.
 */
import { BlazarError, blazarError } from "../../contracts/errors.ts";
import type { StdioPaths } from "../../contracts/keeper.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { RootfsPlan } from "../../contracts/storage.ts";
import type { RootfsMount, TaskCreateRequest } from "../../contracts/task.ts";
import type { Vm } from "../../contracts/vm.ts";
import type { ProcessContext } from "../../machines/process.machine.ts";
import type { ContainerCreate, GuestProcess } from "../../protocol/guest/messages.ts";
import { abortable } from "../abortable.ts";
import type { GuestLink } from "../guest/link.ts";
import type { Host, TranslatedContainer } from "../host.ts";
import type { Journal } from "../resources/journal.ts";
import type { SpareDisk } from "../supply/vm-supply.ts";
import { StdioRelay } from "./stdio-relay.ts";

/** What a container needs of the sandbox that it lives in. */
export interface ContainerHome {
  /** See {@link SandboxRuntime.clock}. */
  readonly clock: Promise<void>;
  readonly id: string;
  readonly host: Host;
  readonly logger: Logger;
  readonly shareDirectory: string;
  readonly user: { readonly uid: number; readonly gid: number } | undefined;
  readonly journal: Journal;
  readonly journalOpen: boolean;
  readonly guest: GuestLink | undefined;
  /** Throws GuestLost. */
  readonly liveGuest: GuestLink;
  readonly vm: Vm | undefined;
  /** Throws VmmExited. */
  readonly liveVm: Vm;
  readonly containers: Map<string, ContainerRuntime>;
  /** A disk that is plugged in already and now lies where the plan wants it; undefined = plug one in. */
  takeSpare(plan: RootfsPlan): Promise<SpareDisk | undefined>;
  track<T>(work: () => Promise<T>): Promise<T>;
}

/** How a process ended. */
export interface ProcessExitRecord {
  readonly exitStatus: number;
  readonly exitedAt: Date;
}

/** What is known of a process, from its registration to its deletion. */
export class ProcessRecord {
  exit: ProcessExitRecord | undefined;
  started = false;
  relay: StdioRelay | undefined;
  private announce: ((exit: ProcessExitRecord) => void) | undefined;
  /** Resolves at the exit. */
  readonly exited: Promise<ProcessExitRecord>;

  constructor(
    readonly execId: string,
    /** Unique on the node, and never the number of a host process. */
    readonly pid: number,
    readonly paths: StdioPaths,
    readonly terminal: boolean,
    /** The process to run; undefined for init, whose process is part of the container's creation. */
    readonly process: GuestProcess | undefined,
  ) {
    this.exited = new Promise((resolve) => {
      this.announce = resolve;
    });
  }

  end(exit: ProcessExitRecord): void {
    if (this.exit !== undefined) return;
    this.exit = exit;
    this.announce?.(exit);
  }
}

/** What the container tells the task service. */
export interface ContainerObserver {
  started(container: ContainerRuntime, process: ProcessRecord): void;
  exited(container: ContainerRuntime, process: ProcessRecord, oomKilled: boolean): void;
}

/** Longest that a deleted process's last output may take to its FIFO. */
const DRAIN_MS = 5_000;
const SIGKILL = 9;

/** What a container is made from. */
interface Asked {
  readonly mounts: RootfsMount[];
  readonly translated: TranslatedContainer;
}

export class ContainerRuntime {
  readonly id: string;
  readonly bundle: string;
  readonly namespace: string | undefined;
  readonly logger: Logger;
  readonly processes = new Map<string, ProcessRecord>();
  private plan: RootfsPlan | undefined;
  private rootfsRef: number | undefined;
  private diskAttached = false;
  /** Short and unique in the VM: container ids are longer than a SCSI serial may be. */
  private diskId: string;
  private creating: Promise<void> = Promise.resolve();
  /** What is to be created; dropped afterwards, because specs are large. */
  private asked: Asked | undefined;

  constructor(
    readonly sandbox: ContainerHome,
    request: TaskCreateRequest,
    translated: TranslatedContainer,
    /** Id of the container whose PID namespace is joined, or "". */
    private readonly pidTarget: string,
    readonly init: ProcessRecord,
    private readonly observer: ContainerObserver,
  ) {
    this.id = request.id;
    this.bundle = request.bundle;
    this.namespace = request.namespace;
    this.asked = { mounts: request.rootfs, translated };
    this.diskId = `d${init.pid.toString(36)}`;
    this.processes.set("", init);
    this.logger = sandbox.logger.child({ container: request.id });
  }

  create(signal: AbortSignal): Promise<void> {
    const { asked } = this;
    this.asked = undefined;
    if (asked === undefined) return Promise.reject(createdBefore(this.id));
    this.creating = this.sandbox.track(() => this.createSteps(asked, signal));
    return this.creating;
  }

  /** Resolves when no creation is under way. */
  async settled(): Promise<void> {
    await this.creating.catch(() => undefined);
  }

  /** Undoes the container, whatever of it exists; the guest's part only if there is a guest. */
  async remove(signal: AbortSignal): Promise<void> {
    await this.settled();
    const { host, guest, vm } = this.sandbox;
    if (guest?.alive) {
      const deadlineMs = host.deadlines.containerDelete;
      await guest.request("container.delete", { id: this.id }, { deadlineMs, signal }).catch(unlessGone);
      if (this.diskAttached) await vm?.detachDisk(this.diskId).catch(unlessGone);
    }
    this.diskAttached = false;
    await this.closeStdio();
    if (this.plan !== undefined && this.rootfsRef !== undefined) {
      await host.rootfs.release(this.plan);
      if (this.sandbox.journalOpen) await this.sandbox.journal.undone(this.rootfsRef);
    }
    this.plan = undefined;
  }

  /** Starts the init process or an exec. */
  async start(execId: string, signal: AbortSignal): Promise<void> {
    const record = this.record(execId);
    const limits = { deadlineMs: this.sandbox.host.deadlines.processStart, signal };
    const guest = this.sandbox.liveGuest;
    if (record.process === undefined) {
      await guest.request("process.start", { id: this.id, execId }, limits);
      return;
    }
    const relay = await this.openStdio(record);
    await guest.request(
      "process.exec",
      { id: this.id, execId, process: record.process, stdio: relay.streams },
      limits,
    );
  }

  /** Signals a process, or all of the container. */
  async signal(execId: string, signal: number, all: boolean): Promise<void> {
    const deadlineMs = this.sandbox.host.deadlines.guestRequest;
    await this.sandbox.liveGuest.request(
      "process.signal",
      { id: this.id, execId, signal, all },
      { deadlineMs },
    );
  }

  async resize(execId: string, rows: number, columns: number): Promise<void> {
    const deadlineMs = this.sandbox.host.deadlines.guestRequest;
    await this.sandbox.liveGuest.request(
      "process.resize",
      { id: this.id, execId, rows, columns },
      { deadlineMs },
    );
  }

  /** Forgets an exec that has ended, after its last output. */
  async removeExec(execId: string): Promise<void> {
    const record = this.record(execId);
    await this.waitForOutput(record);
    const { guest, host } = this.sandbox;
    if (record.started && guest?.alive) {
      const deadlineMs = host.deadlines.guestRequest;
      await guest.request("process.delete", { id: this.id, execId }, { deadlineMs }).catch(unlessGone);
    }
    await this.closeRelay(record);
    this.processes.delete(execId);
  }

  /** Kills everything in the container and waits until its processes have ended. */
  async kill(signal: AbortSignal): Promise<void> {
    const running = [...this.processes.values()].filter(
      (record) => record.exit === undefined && (record.started || record.execId === ""),
    );
    if (running.length === 0) return;
    await this.signal("", SIGKILL, true).catch(unlessGone);
    const aborted = new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
    await Promise.race([Promise.all(running.map((record) => record.exited)), aborted]);
  }

  /** Resolves when all output is in its FIFOs. */
  async drained(): Promise<void> {
    await Promise.all([...this.processes.values()].map((record) => record.relay?.drained));
  }

  /** Waits for a process's last output, but not for ever: its reader may be gone. */
  async waitForOutput(record: ProcessRecord): Promise<void> {
    if (record.relay === undefined || !record.started) return;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, DRAIN_MS);
    });
    await Promise.race([record.relay.drained, late]);
    clearTimeout(timer);
  }

  /** The guest is gone: outputs end where they are. */
  guestGone(): void {
    for (const record of this.processes.values()) record.relay?.terminate();
  }

  async closeStdio(): Promise<void> {
    await Promise.all([...this.processes.values()].map((record) => this.closeRelay(record)));
  }

  record(execId: string): ProcessRecord {
    const record = this.processes.get(execId);
    if (record !== undefined) return record;
    throw blazarError("ProcessNotFound", "find the process", "no such process", {
      subject: `${this.id}/${execId}`,
    });
  }

  /** The chart says that a process runs. */
  announceStart({ execId }: ProcessContext): void {
    const record = this.processes.get(execId);
    if (record === undefined) return;
    record.started = true;
    this.observer.started(this, record);
  }

  /** The chart says that a process has ended. */
  announceExit({ execId, status, oomKilled, failure }: ProcessContext): void {
    const record = this.processes.get(execId);
    if (record === undefined) return;
    if (failure === undefined) record.started = true;
    record.end({ exitStatus: status, exitedAt: new Date(this.sandbox.host.now()) });
    if (failure === undefined) this.observer.exited(this, record, oomKilled);
  }

  private async createSteps({ mounts, translated }: Asked, signal: AbortSignal): Promise<void> {
    const { host, journal } = this.sandbox;
    const steps: Record<string, number> = {};
    const started = performance.now();
    const passed = (step: string) => {
      steps[step] = Math.round(performance.now() - started);
    };
    const plan = await host.rootfs.plan({
      containerId: this.id,
      mounts,
      shareDirectory: this.sandbox.shareDirectory,
      scratchDirectory: host.scratchDirectory,
      owner: this.sandbox.user,
    });
    this.rootfsRef = await journal.intend({ kind: "rootfs", plan });
    this.plan = plan;
    const stdio = this.openStdio(this.init);
    stdio.catch(() => undefined);
    const spare = await this.sandbox.takeSpare(plan);
    await host.rootfs.apply(plan, signal);
    passed("storage");
    signal.throwIfAborted();
    this.diskAttached = true;
    if (spare !== undefined) this.diskId = spare.id;
    else {
      const { path, readonly } = plan.disk;
      await this.sandbox.liveVm.attachDisk({ id: this.diskId, path, readonly });
    }
    passed("disk");
    const relay = await stdio;
    passed("stdio");
    signal.throwIfAborted();
    const deadlineMs = host.deadlines.containerCreate;
    const what = { operation: "wait for the guest's clock", subject: this.id };
    await abortable(this.sandbox.clock, signal, what);
    passed("clock");
    const request = this.guestRequest(translated, plan, relay);
    await host.supply.guestTurns.during(signal, () => {
      passed("turn");
      return this.sandbox.liveGuest.request("container.create", request, { deadlineMs, signal });
    });
    passed("guest");
    this.logger.debug({ steps }, "container created; steps in ms since its start");
  }

  private guestRequest(
    { create, rootReadonly }: TranslatedContainer,
    plan: RootfsPlan,
    relay: StdioRelay,
  ): ContainerCreate {
    return {
      ...create,
      id: this.id,
      rootfs: {
        kind: plan.guest.kind,
        path: plan.guest.path,
        diskSerial: this.diskId,
        filesystem: plan.disk.filesystem,
        readonly: plan.guest.readonly || rootReadonly,
      },
      stdio: relay.streams,
      pidTarget: this.pidTarget,
    };
  }

  private async openStdio(record: ProcessRecord): Promise<StdioRelay> {
    const { host, journal, liveGuest } = this.sandbox;
    const id = `${this.id}/${record.execId}`;
    const relay = new StdioRelay(liveGuest, id, record.paths, record.terminal);
    await journal.intend({ kind: "stdio", id, paths: record.paths });
    record.relay = relay;
    await relay.open(host.stdio);
    return relay;
  }

  private async closeRelay(record: ProcessRecord): Promise<void> {
    if (record.relay === undefined) return;
    await record.relay.close();
    if (!this.sandbox.journalOpen) return;
    const id = `${this.id}/${record.execId}`;
    const open = this.sandbox.journal
      .outstanding()
      .find(({ resource }) => resource.kind === "stdio" && resource.id === id);
    if (open !== undefined) await this.sandbox.journal.undone(open.ref);
  }
}

function createdBefore(id: string): BlazarError {
  return blazarError("IllegalTransition", "create the container", "that was tried before", { subject: id });
}

/** What is not there any more need not be undone. */
function unlessGone(error: unknown): void {
  if (
    error instanceof BlazarError &&
    (error.kind === "notFound" || ["GuestLost", "VmmExited"].includes(error.code))
  )
    return;
  throw error;
}
