/**
 * One container in a guest: its root on the host, its disk in the VM, its stdio, and what the agent is asked for it.
 *
 * Owns the container's handles. The order of a creation is root and stdio on the host (container-root.ts) → the agent's part;
 * the removal undoes what there is of it. It keeps no record of processes: containerd's questions are answered by the
 * container's actor.
 */
import type { BackendContainer, ContainerSpec, ExecSpec, KnownProcess } from "../../backends/backend.ts";
import type { Deadlines } from "../../contracts/deadlines.ts";
import { BlazarError, blazarError, reasonOf } from "../../contracts/errors.ts";
import type { Histories, SandboxHistory } from "../../contracts/history.ts";
import type { StdioPaths } from "../../contracts/keeper.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { SeccompCompiler } from "../../contracts/seccomp.ts";
import type { CgroupStats } from "../../contracts/stats.ts";
import { abortable } from "../../lib/async.ts";
import { SIGKILL } from "../../lib/signals.ts";
import type { ContainerCreate, GuestOp, GuestParams, GuestResult } from "../../protocol/guest/messages.ts";
import { readCgroupStats } from "../guest/cgroup-stats.ts";
import type { GuestLink } from "../guest/link.ts";
import { NO_LINK, type StdioHost, StdioRelay } from "../guest/stdio-relay.ts";
import type { InsideFact } from "../resources/facts.ts";
import { stdioId } from "../resources/kinds/stdio.ts";
import type { Pace } from "../supply/pace.ts";
import { unlessGone } from "../unless-gone.ts";
import { ContainerRoot, type ContainerRootPorts } from "./container-root.ts";
import type { GuestVm } from "./guest-vm.ts";
import { whileServed } from "./served.ts";
import { beyondTheVm } from "./sizing/sizing.ts";
import type { PlannedImage } from "./vm-images.ts";
import type { ContainerVolumes } from "./volumes/guest-volumes.ts";
import type { VolumePorts } from "./volumes/held-volume.ts";

/** What containers need of the host. */
export interface GuestContainerPorts
  extends Omit<ContainerRootPorts, "deadlines">,
    Omit<VolumePorts, "deadlines"> {
  readonly stdio: StdioHost;
  readonly histories: Histories;
  readonly seccomp: SeccompCompiler;
  readonly deadlines: Pick<
    Deadlines,
    | "containerCreate"
    | "containerDelete"
    | "processStart"
    | "guestSignal"
    | "guestKill"
    | "guestRequest"
    | "share"
    | "outputDrain"
  >;
  readonly pace: Pick<Pace, "guests">;
  /** What any container's writable layer may take at most. */
  readonly layerBytes: number;
  /** Is told which image a new container is on. */
  readonly imageUsed?: ((image: PlannedImage) => void) | undefined;
}

/** A guest may still do what it was asked for. */
const UNANSWERED: ReadonlySet<string> = new Set(["DeadlineExceeded", "Cancelled", "HostResource"]);

export class GuestContainer implements BackendContainer {
  readonly id: string;
  /** Dropped after the creation, because specs are large. */
  private spec: ContainerSpec | undefined;
  private readonly root: ContainerRoot;
  private creating: Promise<void> = Promise.resolve();
  /** Resolves when the host has done its part. */
  private volumes: Promise<ContainerVolumes> | undefined;
  private readonly relays = new Map<string, StdioRelay>();

  /** @param what its spec; or only its names, if an earlier daemon has made it: see {@link adopt} */
  constructor(
    private readonly vm: GuestVm,
    private readonly ports: GuestContainerPorts,
    what: ContainerSpec | Pick<ContainerSpec, "id" | "shortId">,
    private readonly logger: Logger,
  ) {
    this.id = what.id;
    this.spec = "translated" in what ? what : undefined;
    this.root = new ContainerRoot(vm, ports, what.id, what.shortId, logger);
  }

  /**
   * Takes up what an earlier daemon has made of it. Without a link to the guest its outputs end where they are.
   * @param inside what it has of the VM, if that is known; counted already
   * @param attached whether the VM has its disk
   */
  async adopt(
    inside: InsideFact | undefined,
    attached: boolean,
    processes: readonly KnownProcess[],
  ): Promise<void> {
    const { vm, ports } = this;
    this.root.adopt(inside, attached);
    this.volumes = Promise.resolve(vm.volumes.adopted(inside?.volumes ?? [], ports));
    const link = vm.alive ? vm.liveLink : NO_LINK;
    await Promise.all(
      processes.map(async ({ execId, paths, terminal, streams, exited }) => {
        if (!(await this.ownsStdio(execId, paths, exited))) return;
        const relay = new StdioRelay(link, this.stdioId(execId), paths, terminal, streams);
        this.relays.set(execId, relay);
        await relay.open(ports.stdio);
        if (link === NO_LINK) relay.terminate();
      }),
    );
  }

  /** False: it was closed already, and nothing comes of it any more. */
  private async ownsStdio(execId: string, paths: StdioPaths, exited: boolean): Promise<boolean> {
    const id = this.stdioId(execId);
    const { outstanding, journal } = this.vm.resources;
    if (outstanding.some((each) => each.kind === "stdio" && each.id === id)) return true;
    if (!exited) await journal.intend({ kind: "stdio", id, paths });
    return !exited;
  }

  get diskId(): string {
    return this.root.diskId;
  }

  create(signal: AbortSignal): Promise<void> {
    const { spec } = this;
    this.spec = undefined;
    if (spec === undefined) {
      const reason = "that was tried before";
      const error = blazarError("IllegalTransition", "create the container", reason, { subject: this.id });
      return Promise.reject(error);
    }
    const beyond = beyondTheVm(spec.translated.create.cgroup, this.vm.shape);
    if (beyond !== undefined) this.logger.warn({ container: this.id }, beyond);
    this.creating = this.createSteps(spec, signal);
    return this.creating;
  }

  async settled(): Promise<void> {
    await this.creating.catch(() => undefined);
  }

  async start(signal: AbortSignal): Promise<void> {
    const { deadlines } = this.ports;
    await this.served("start the container's process", this.id, signal, (signal) => {
      const limits = { deadlineMs: deadlines.processStart, signal };
      return this.vm.liveLink.request("process.start", { id: this.id, execId: "" }, limits);
    });
  }

  async exec({ execId, process, paths, terminal }: ExecSpec, signal: AbortSignal): Promise<void> {
    const link = this.vm.liveLink;
    const { streams } = await this.openStdio(execId, paths, terminal);
    const deadlineMs = this.ports.deadlines.processStart;
    const request = { id: this.id, execId, process, stdio: streams };
    try {
      await this.served("add a process to the container", this.stdioId(execId), signal, (signal) =>
        link.request("process.exec", request, { deadlineMs, signal }),
      );
    } catch (error) {
      if (error instanceof BlazarError && UNANSWERED.has(error.code)) this.abandonExec(link, execId);
      throw error;
    }
  }

  /** The guest may be making an exec that has failed for want of an answer: it must not run later. */
  private abandonExec(link: GuestLink, execId: string): void {
    const limits = { deadlineMs: this.ports.deadlines.guestRequest };
    link.request("process.abandon", { id: this.id, execId }, limits).catch((error: unknown) => {
      if (link.alive) this.logger.debug({ err: error, execId }, "an exec that was given up is not gone yet");
    });
  }

  /**
   * A guest that hangs gets its signals when it runs again, as a stopped process does. One that does not obey SIGKILL, or refuses
   * it, is given up: the sandbox ends by that, and its containers with it.
   */
  async signal(execId: string, signal: number, all: boolean, token?: string): Promise<void> {
    const { liveLink: link } = this.vm;
    const { guestKill, guestSignal } = this.ports.deadlines;
    const deadlineMs = signal === SIGKILL ? guestKill : guestSignal;
    try {
      await link.request("process.signal", { id: this.id, execId, signal, all, token }, { deadlineMs });
    } catch (error) {
      const late = error instanceof BlazarError && error.code === "DeadlineExceeded";
      const gone = error instanceof BlazarError && error.kind === "notFound";
      if (gone || !link.alive || !(late || signal === SIGKILL)) throw error;
      if (signal !== SIGKILL)
        return this.logger.warn({ signal, execId, deadlineMs }, "the guest has not answered to a signal yet");
      // no agent in order has a reason to refuse this: a pod whose guest lies must be removed all the same
      const reason = late
        ? `its guest has not obeyed SIGKILL within ${deadlineMs} ms`
        : `its guest has answered SIGKILL with an error: ${reasonOf(error)}`;
      this.giveUp(reason, error);
    }
  }

  giveUp(reason: string, cause?: unknown): void {
    const subject = this.vm.ownerId;
    this.vm.link?.close(blazarError("GuestLost", "kill the container", reason, { subject, cause }));
  }

  async resize(execId: string, rows: number, columns: number): Promise<void> {
    await this.ask("process.resize", { id: this.id, execId, rows, columns });
  }

  async update(cgroup: Readonly<Record<string, string>>): Promise<void> {
    const beyond = beyondTheVm(cgroup, this.vm.shape);
    if (beyond !== undefined)
      throw blazarError("ResourceExhausted", "raise a container's limit", beyond, {
        subject: this.id,
        remedy: "make the pod anew: its VM gets its size when it starts",
      });
    await this.ask("container.update", { id: this.id, cgroup });
  }

  async stats(): Promise<CgroupStats> {
    return readCgroupStats((await this.ask("container.stats", { id: this.id })).files);
  }

  async children(): Promise<readonly number[]> {
    return (await this.ask("container.pids", { id: this.id })).children ?? [];
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
    const { link } = this.vm;
    if (link?.alive) {
      const limits = { deadlineMs: this.ports.deadlines.containerDelete, signal };
      await link.request("container.delete", { id: this.id }, limits).catch(unlessGone);
    }
    await this.root.unplug();
    const volumes = await this.volumes?.catch(() => undefined);
    const [released] = await Promise.allSettled([volumes?.release()]);
    await this.closeAllStdio();
    await this.root.release();
    void this.vm.resources.fact(`inside/${this.id}`, null);
    if (released.status === "rejected") throw released.reason;
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
    const { vm, root, ports } = this;
    const steps = new Steps(this.id, ports.histories.of(vm.ownerId));
    const stdio = this.openStdio("", spec.paths, spec.terminal);
    stdio.catch(() => undefined);
    const profile = spec.translated.seccomp;
    const filter = profile === undefined ? undefined : this.ports.seccomp.compile(profile);
    filter?.catch(() => undefined);
    const { userNamespace } = spec.translated.create;
    const volumes = vm.volumes.use(spec.translated.volumes, userNamespace, this.ports, signal);
    volumes.catch(() => undefined);
    this.volumes = volumes;
    await root.make(spec.mounts, (step) => steps.passed(step), signal, userNamespace);
    await volumes;
    steps.passed("volumes");
    const { streams } = await stdio;
    steps.passed("stdio");
    signal.throwIfAborted();
    await abortable(vm.clock, signal, { operation: "wait for the guest's clock", subject: this.id });
    steps.passed("clock");
    const request = { stdio: streams, seccomp: await filter };
    try {
      await this.createInGuest(spec, request, steps, signal);
    } catch (error) {
      await root.useShare(spec.mounts, error, signal);
      await this.createInGuest(spec, request, steps, signal);
    }
    const { names } = await volumes;
    void vm.resources.fact(`inside/${this.id}`, { ...root.inside, volumes: names });
    if (root.storedImage !== undefined) this.ports.imageUsed?.(root.storedImage);
    this.logger.debug({ steps: steps.passedAt }, "container created; steps in ms since its start");
  }

  private async createInGuest(
    { translated: { create, rootReadonly }, pidTarget }: ContainerSpec,
    given: Pick<ContainerCreate, "stdio" | "seccomp">,
    steps: Steps,
    signal: AbortSignal,
  ): Promise<void> {
    const { ports, vm, root, id } = this;
    const layerBytes = Math.min(create.layerBytes ?? ports.layerBytes, ports.layerBytes);
    const rootfs = root.guestRootfs(rootReadonly);
    const drainMs = ports.deadlines.outputDrain;
    const volumes = await this.volumes;
    const mounted = volumes?.mounted(create) ?? { returned: [] };
    const mapped = { idmappedLayers: root.idmapped };
    const request = {
      ...create,
      ...mounted,
      ...given,
      ...mapped,
      ...{ id, rootfs, pidTarget, layerBytes, drainMs },
    };
    const limits = { deadlineMs: ports.deadlines.containerCreate };
    await ports.pace.guests.during(signal, async () => {
      steps.passed("turn");
      const what = { operation: "write the container's volumes", subject: id };
      const sent = volumes === undefined ? undefined : abortable(volumes.send(), signal, what);
      sent?.catch(() => undefined);
      const created = this.served("create the container", id, signal, (signal) =>
        vm.liveLink.request("container.create", request, { ...limits, signal }),
      );
      created.catch(() => undefined);
      // a volume that could not be written is why a container could not be made
      await sent;
      await created;
    });
    steps.passed("guest");
  }

  private served<T>(
    operation: string,
    subject: string,
    signal: AbortSignal,
    request: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { layers, volumes } = this.vm.shares;
    return whileServed([layers, volumes], { operation, subject }, signal, request);
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
    return stdioId(this.id, execId);
  }
}

/** Steps of a creation that took so long are told in the history. */
const WORTH_TELLING_MS = 1;

/** How long the steps of a creation take, for the log and for the history. */
class Steps {
  readonly passedAt: Record<string, number> = {};
  private readonly started = performance.now();
  private last = this.started;

  constructor(
    private readonly containerId: string,
    private readonly history: SandboxHistory,
  ) {}

  passed(step: string): void {
    const now = performance.now();
    this.passedAt[step] = Math.round(now - this.started);
    const ms = now - this.last;
    // what the guest does is told by the link to it
    if (ms >= WORTH_TELLING_MS && step !== "guest")
      this.history.passed(`container ${step}`, ms, `container/${this.containerId}`);
    this.last = now;
  }
}
