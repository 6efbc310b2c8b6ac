/**
 * One container in a guest: its root on the host, its disk in the VM, its stdio, and what the agent is asked for it.
 *
 * Owns the container's handles. The order of a creation is plan → intent in the journal → storage, disk and stdio → the
 * agent's part; the removal undoes what there is of it. It keeps no record of processes: containerd's questions are answered
 * by the container's actor.
 */
import type { BackendContainer, ContainerSpec, ExecSpec } from "../../backends/backend.ts";
import type { Deadlines } from "../../contracts/deadlines.ts";
import { blazarError } from "../../contracts/errors.ts";
import type { StdioPaths } from "../../contracts/keeper.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { SeccompCompiler } from "../../contracts/seccomp.ts";
import type { CgroupStats } from "../../contracts/stats.ts";
import type { RootfsPlan, RootfsStore } from "../../contracts/storage.ts";
import { abortable } from "../../lib/async.ts";
import type { ContainerCreate, GuestOp, GuestParams, GuestResult } from "../../protocol/guest/messages.ts";
import { readCgroupStats } from "../guest/cgroup-stats.ts";
import { type StdioHost, StdioRelay } from "../guest/stdio-relay.ts";
import type { Pace } from "../supply/pace.ts";
import { unlessGone } from "../unless-gone.ts";
import type { GuestVm } from "./guest-vm.ts";

/** What containers need of the host. */
export interface GuestContainerPorts {
  readonly rootfs: RootfsStore;
  readonly stdio: StdioHost;
  readonly seccomp: SeccompCompiler;
  readonly deadlines: Pick<
    Deadlines,
    "containerCreate" | "containerDelete" | "processStart" | "guestRequest" | "outputDrain"
  >;
  readonly pace: Pick<Pace, "guests">;
  /** Absolute; for writable layers whose snapshot has no place for them. */
  readonly scratchDirectory: string;
}

export class GuestContainer implements BackendContainer {
  readonly id: string;
  diskId: string;
  /** Dropped after the creation, because specs are large. */
  private spec: ContainerSpec | undefined;
  private plan: RootfsPlan | undefined;
  private rootfsRef: number | undefined;
  private diskAttached = false;
  private creating: Promise<void> = Promise.resolve();
  private readonly relays = new Map<string, StdioRelay>();

  constructor(
    private readonly vm: GuestVm,
    private readonly ports: GuestContainerPorts,
    spec: ContainerSpec,
    private readonly logger: Logger,
  ) {
    this.id = spec.id;
    this.spec = spec;
    this.diskId = spec.shortId;
  }

  create(signal: AbortSignal): Promise<void> {
    const { spec } = this;
    this.spec = undefined;
    if (spec === undefined) {
      const reason = "that was tried before";
      const error = blazarError("IllegalTransition", "create the container", reason, { subject: this.id });
      return Promise.reject(error);
    }
    this.creating = this.createSteps(spec, signal);
    return this.creating;
  }

  async settled(): Promise<void> {
    await this.creating.catch(() => undefined);
  }

  async start(signal: AbortSignal): Promise<void> {
    const limits = { deadlineMs: this.ports.deadlines.processStart, signal };
    await this.vm.liveLink.request("process.start", { id: this.id, execId: "" }, limits);
  }

  async exec({ execId, process, paths, terminal }: ExecSpec, signal: AbortSignal): Promise<void> {
    const link = this.vm.liveLink;
    const { streams } = await this.openStdio(execId, paths, terminal);
    const limits = { deadlineMs: this.ports.deadlines.processStart, signal };
    await link.request("process.exec", { id: this.id, execId, process, stdio: streams }, limits);
  }

  async signal(execId: string, signal: number, all: boolean): Promise<void> {
    await this.ask("process.signal", { id: this.id, execId, signal, all });
  }

  async resize(execId: string, rows: number, columns: number): Promise<void> {
    await this.ask("process.resize", { id: this.id, execId, rows, columns });
  }

  async update(cgroup: Readonly<Record<string, string>>): Promise<void> {
    await this.ask("container.update", { id: this.id, cgroup });
  }

  async stats(): Promise<CgroupStats> {
    return readCgroupStats((await this.ask("container.stats", { id: this.id })).files);
  }

  async pause(paused: boolean): Promise<void> {
    await this.ask(paused ? "container.pause" : "container.resume", { id: this.id });
  }

  private ask<Op extends GuestOp>(op: Op, params: GuestParams<Op>): Promise<GuestResult<Op>> {
    return this.vm.liveLink.request(op, params, { deadlineMs: this.ports.deadlines.guestRequest });
  }

  async removeExec(execId: string): Promise<void> {
    const { link } = this.vm;
    if (link?.alive !== true) return;
    const limits = { deadlineMs: this.ports.deadlines.guestRequest };
    await link.request("process.delete", { id: this.id, execId }, limits).catch(unlessGone);
  }

  async remove(signal: AbortSignal): Promise<void> {
    await this.settled();
    const { link, vm } = this.vm;
    if (link?.alive) {
      const limits = { deadlineMs: this.ports.deadlines.containerDelete, signal };
      await link.request("container.delete", { id: this.id }, limits).catch(unlessGone);
      if (this.diskAttached) await vm.detachDisk(this.diskId).catch(unlessGone);
    }
    this.diskAttached = false;
    await this.closeAllStdio();
    if (this.plan !== undefined && this.rootfsRef !== undefined) {
      await this.ports.rootfs.release(this.plan);
      const { resources } = this.vm;
      if (resources.isOpen) await resources.journal.undone(this.rootfsRef);
    }
    this.plan = undefined;
  }

  stdio(execId: string): StdioRelay | undefined {
    return this.relays.get(execId);
  }

  async closeStdio(execId: string): Promise<void> {
    const relay = this.relays.get(execId);
    if (relay === undefined) return;
    await relay.close();
    this.relays.delete(execId);
    const id = this.stdioId(execId);
    await this.vm.resources.gone((resource) => resource.kind === "stdio" && resource.id === id);
  }

  async closeAllStdio(): Promise<void> {
    await Promise.all([...this.relays.keys()].map((execId) => this.closeStdio(execId)));
  }

  ended(): void {
    for (const relay of this.relays.values()) relay.terminate();
  }

  private async createSteps(spec: ContainerSpec, signal: AbortSignal): Promise<void> {
    const { ports, vm } = this;
    const steps = new Steps();
    const plan = await ports.rootfs.plan({
      containerId: this.id,
      mounts: spec.mounts,
      shareDirectory: vm.place.shareDirectory,
      scratchDirectory: ports.scratchDirectory,
      owner: vm.place.user,
    });
    this.rootfsRef = await vm.resources.journal.intend({ kind: "rootfs", plan });
    this.plan = plan;
    const stdio = this.openStdio("", spec.paths, spec.terminal);
    stdio.catch(() => undefined);
    const profile = spec.translated.seccomp;
    const filter = profile === undefined ? undefined : ports.seccomp.compile(profile);
    filter?.catch(() => undefined);
    const prepared = await vm.takePreparedDisk(plan, ports.rootfs);
    await ports.rootfs.apply(plan, signal);
    steps.passed("storage");
    signal.throwIfAborted();
    this.diskAttached = true;
    if (prepared !== undefined) this.diskId = prepared.id;
    else await this.attachDisk(plan);
    steps.passed("disk");
    const { streams } = await stdio;
    steps.passed("stdio");
    signal.throwIfAborted();
    await abortable(vm.clock, signal, { operation: "wait for the guest's clock", subject: this.id });
    steps.passed("clock");
    const seccomp = await filter;
    const request = { ...this.request(spec, plan), seccomp, stdio: streams };
    const limits = { deadlineMs: ports.deadlines.containerCreate, signal };
    await ports.pace.guests.during(signal, () => {
      steps.passed("turn");
      return vm.liveLink.request("container.create", request, limits);
    });
    steps.passed("guest");
    this.logger.debug({ steps: steps.passedAt }, "container created; steps in ms since its start");
  }

  private async attachDisk({ disk }: RootfsPlan): Promise<void> {
    await this.vm.vm.attachDisk({ id: this.diskId, path: disk.path, readonly: disk.readonly });
  }

  private request(
    { translated: { create, rootReadonly }, pidTarget }: ContainerSpec,
    { guest, disk }: RootfsPlan,
  ): Omit<ContainerCreate, "stdio" | "seccomp"> {
    const { kind, path } = guest;
    const readonly = guest.readonly || rootReadonly;
    const rootfs = { kind, path, diskSerial: this.diskId, filesystem: disk.filesystem, readonly };
    const drainMs = this.ports.deadlines.outputDrain;
    return { ...create, id: this.id, rootfs, pidTarget, drainMs };
  }

  private async openStdio(execId: string, paths: StdioPaths, terminal: boolean): Promise<StdioRelay> {
    const id = this.stdioId(execId);
    const relay = new StdioRelay(this.vm.liveLink, id, paths, terminal);
    await this.vm.resources.journal.intend({ kind: "stdio", id, paths });
    this.relays.set(execId, relay);
    await relay.open(this.ports.stdio);
    return relay;
  }

  private stdioId(execId: string): string {
    return `${this.id}/${execId}`;
  }
}

/** How long the steps of a creation take, for the log. */
class Steps {
  readonly passedAt: Record<string, number> = {};
  private readonly started = performance.now();

  passed(step: string): void {
    this.passedAt[step] = Math.round(performance.now() - this.started);
  }
}
