/**
 * The effects of one sandbox: what its chart's named steps really do, through the ports of host.ts.
 *
 * Owns the sandbox's handles (journal, VM, guest link, containers), which are no part of the chart's context.
 * Each resource's intent is in the journal before it is made. Steps that take down first wait for steps that
 * were cut short, so that nothing is made behind their back, and do what they can whatever has failed.
 */
import { join } from "node:path";
import type { Observable } from "rxjs";
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { SandboxSpec } from "../../contracts/sandbox.ts";
import type { RootfsPlan } from "../../contracts/storage.ts";
import type { Vm, VmShape, VmSpec } from "../../contracts/vm.ts";
import type { OriginalVm } from "../../contracts/vmm.ts";
import type { SandboxEvent, VmSource } from "../../machines/sandbox.setup.ts";
import type { ContainerRuntime } from "../container/container.actor.ts";
import { GuestLink } from "../guest/link.ts";
import { type GuestSetUp, setUpGuest } from "../guest/setup.ts";
import { prepareSpare } from "../guest/spare-disk.ts";
import type { Host } from "../host.ts";
import { HeldResources } from "../resources/held.ts";
import type { HostResource, Journal } from "../resources/journal.ts";
import type { SetUp } from "../supply/head-start.ts";
import { VmClaim, type WantedVm } from "../supply/vm-claim.ts";
import { BOOT_ANNOTATION, type SpareDisk } from "../supply/vm-supply.ts";
import { guestEvents$, vmmEvents$ } from "../vm/chart-events.ts";
import { shapeOf } from "../vm/shape.ts";

const VM_NAME_BYTES = 6;
/** Bytes in flight may take this long to reach their FIFO before a sandbox that stops gives them up. */
const DRAIN_MS = 2_000;
/** A warm guest that takes longer is given up and another VM taken. */
const WARM_SET_UP_MS = 2_000;

export class SandboxRuntime {
  readonly id: string;
  readonly directory: string;
  /** Those of the VM; after an adoption the ones that it came with. */
  vmDirectory: string;
  shareDirectory: string;
  readonly logger: Logger;
  readonly containers = new Map<string, ContainerRuntime>();
  vm: Vm | undefined;
  guest: GuestLink | undefined;
  user: { uid: number; gid: number } | undefined;
  /** A disk that is plugged in already, for the first container; see {@link takeSpare}. */
  spare: SpareDisk | undefined;
  private entering: Promise<void> = Promise.resolve();
  /** Resolves when the guest's clock is as right as it gets; no container runs before that. */
  clock: Promise<void> = Promise.resolve();
  /** Where the VM came from, once that is decided. */
  source: VmSource | undefined;
  /** Key of the template that the VM is a clone of. */
  template: string | undefined;
  private readonly claim: VmClaim;
  private adopting: Promise<unknown> = Promise.resolve();
  private vmPrepared = false;
  private readonly held: HeldResources;
  private cgroupProcs: readonly string[] = [];
  private finishing: Promise<void> | undefined;
  private readonly underWay = new Set<Promise<unknown>>();

  constructor(
    readonly spec: SandboxSpec,
    readonly host: Host,
    /** Others are to be forked from its VM. */
    private readonly forkable = false,
  ) {
    this.id = spec.id;
    this.directory = join(host.stateDirectory, "sandboxes", spec.id);
    // Not below the sandbox's own: an id has 64 characters, a unix socket's path 107 in all.
    this.vmDirectory = join(host.stateDirectory, "vm", host.randomHex(VM_NAME_BYTES));
    this.shareDirectory = spec.sharedDirectory ?? join(this.directory, "share");
    this.logger = host.logger.child({ sandbox: spec.id });
    this.held = new HeldResources(spec.id, host, this.logger);
    this.claim = new VmClaim(spec.id, host.supply, this.logger);
  }

  get journal(): Journal {
    return this.held.journal;
  }

  get journalOpen(): boolean {
    return this.held.isOpen;
  }

  /** The guest's link. Throws GuestLost. */
  get liveGuest(): GuestLink {
    if (this.guest?.alive) return this.guest;
    throw blazarError("GuestLost", "reach the guest", "there is no link to it", { subject: this.id });
  }

  /** The VM. Throws VmmExited. */
  get liveVm(): Vm {
    if (this.vm !== undefined) return this.vm;
    throw blazarError("VmmExited", "reach the VMM", "it does not run", { subject: this.id });
  }

  /** What the VM has to be like. */
  get shape(): VmShape {
    return shapeOf(this.spec, this.host);
  }

  private get wanted(): WantedVm {
    return { shape: this.shape, boot: this.spec.annotations[BOOT_ANNOTATION] };
  }

  provision(signal: AbortSignal): Promise<void> {
    const { supply, rootfs } = this.host;
    // its start and its containers follow
    const setUp: SetUp = (guest, setUpSignal) => this.setUp(guest, WARM_SET_UP_MS, setUpSignal);
    this.claim.begin(this.wanted, setUp, this.host.now);
    rootfs.warm?.();
    return this.track(() => supply.provisions.during(signal, () => this.makeHostResources(signal)));
  }

  private async makeHostResources(signal: AbortSignal): Promise<void> {
    const { host } = this;
    this.held.open(await host.openJournal(this.id));
    signal.throwIfAborted();
    await this.held.make({ kind: "directory", path: this.directory }, () =>
      host.files.makeDirectory(this.directory, 0o711),
    );
    signal.throwIfAborted();
    const { directories, procs } = await host.cgroups.plan(this.id, this.spec.cgroupParent);
    await this.held.make({ kind: "cgroups", directories }, () => host.cgroups.make(directories));
    this.cgroupProcs = procs;
    this.claim.enter((pid) => host.cgroups.enter(procs, pid));
  }

  /** For the pool: a VM that runs, is set up and belongs to no sandbox; without a cgroup, which comes with the pod. */
  async warmUp(signal: AbortSignal): Promise<void> {
    const { host } = this;
    this.held.open(await host.openJournal(this.id));
    await this.held.make({ kind: "directory", path: this.directory }, () =>
      host.files.makeDirectory(this.directory, 0o711),
    );
    const { source } = await this.claim.acquire({ shape: this.shape, boot: "clone" }, signal);
    try {
      await (this.forkable || source === "clone" ? this.fork(signal) : this.launch(signal));
      await this.connectAgent(signal);
      await this.setUpGuest(signal);
    } finally {
      this.endTurn();
    }
  }

  /** Lets go of the guest, once it is as others shall be: the VM is only forked from now on. */
  async becomeOriginal(signal: AbortSignal): Promise<OriginalVm> {
    const { forks } = this.host.driver.templates ?? {};
    if (forks === undefined) throw cannotFork(this.id);
    await this.clock;
    this.guest?.close();
    return forks.original(this.liveVm, signal);
  }

  /** Takes a warm VM or waits for a turn. */
  acquire(signal: AbortSignal): Promise<{ source: VmSource }> {
    return this.track(async () => {
      const { source } = await this.claim.acquire(this.wanted, signal);
      this.source = source;
      return { source };
    });
  }

  /**
   * For the pool: plugs in an empty disk and has the guest mount it, which takes an emulated one tens of milliseconds. A
   * clone has one from its template.
   */
  async plugSpare(signal: AbortSignal): Promise<void> {
    const { rootfs } = this.host;
    if (this.spare !== undefined || rootfs.makeSpare === undefined) return;
    const spare = { id: "spare", path: this.sparePath };
    await this.journal.intend({ kind: "file", path: spare.path });
    await rootfs.makeSpare(spare.path, this.user);
    await this.liveVm.attachDisk({ ...spare, readonly: false });
    this.spare = spare;
    await prepareSpare(this.liveGuest, spare.id, { ...this.host, logger: this.logger }, signal);
  }

  private get sparePath(): string {
    return join(this.host.scratchDirectory, `${this.id}.spare`);
  }

  /** Gives the spare disk to a container, once, if its place can take it. */
  async takeSpare(plan: RootfsPlan): Promise<SpareDisk | undefined> {
    const { spare } = this;
    // whoever asks meanwhile plugs in a disk of its own
    this.spare = undefined;
    if (spare === undefined) return undefined;
    if (!(await this.host.rootfs.moveSpare?.(plan, spare.path))) {
      this.spare = spare;
      return undefined;
    }
    await this.held.gone((resource) => resource.kind === "file" && resource.path === spare.path);
    return spare;
  }

  /** The start is over, one way or the other: the next one may have its turn. */
  endTurn(): void {
    this.claim.endTurn();
    this.cgroupProcs = [];
  }

  /** Makes a warm VM of the pool this sandbox's own: its resources first in this journal, then out of its own. */
  adopt(signal: AbortSignal): Promise<{ pid: number }> {
    const adopted = this.track(() => this.adoptSteps(signal));
    this.adopting = adopted.catch(() => undefined);
    return adopted;
  }

  private async adoptSteps(signal: AbortSignal): Promise<{ pid: number }> {
    const { warm } = this.claim;
    await this.held.takeOver(warm.journal);
    this.claim.adopted();
    this.vm = warm.vm;
    this.guest = warm.guest;
    this.user = warm.user;
    this.vmDirectory = warm.vmDirectory;
    this.shareDirectory = warm.shareDirectory;
    this.spare = warm.spare;
    this.vmPrepared = true;
    try {
      await warm.surrender();
      const { pid } = this.liveVm.identity;
      // moving between cgroups waits for the kernel's grace periods: meanwhile the guest is set up
      const moved = this.claim.entered ?? this.host.cgroups.enter(this.cgroupProcs, pid);
      this.enter(moved, this.connectNetwork());
      await this.claim.headStarted(signal);
      return { pid };
    } catch (error) {
      await this.dropVm();
      throw error;
    }
  }

  /** Starts a clone of the template that was acquired. */
  fork(signal: AbortSignal): Promise<{ pid: number }> {
    return this.track(async () => {
      const { lease, original } = this.claim;
      try {
        this.template = lease.template.key;
        return await this.start(lease.template.directory, signal, original);
      } finally {
        lease.release();
      }
    });
  }

  launch(signal: AbortSignal): Promise<{ pid: number }> {
    return this.track(() => this.start(undefined, signal));
  }

  /** Everything that this runtime holds belongs to another one now. */
  async surrender(): Promise<void> {
    await this.held.surrender();
    this.spare = undefined;
    this.user = undefined;
    this.vm = undefined;
    this.guest = undefined;
  }

  connectAgent(signal: AbortSignal): Promise<void> {
    return this.track(async () => {
      const link = await this.liveVm.connectAgent(signal);
      const guest = new GuestLink(link, {
        sandboxId: this.id,
        session: this.host.session,
        text: this.host.text,
        logger: this.logger,
      });
      this.guest = guest;
      const abort = () => guest.close();
      signal.addEventListener("abort", abort, { once: true });
      try {
        const hello = await guest.hello;
        this.logger.debug(
          { agent: hello.agent, kernel: hello.kernel, timeline: hello.timeline },
          "the guest's agent said hello",
        );
      } finally {
        signal.removeEventListener("abort", abort);
      }
    });
  }

  setUpGuest(signal: AbortSignal): Promise<void> {
    return this.track(async () => {
      const setUp = this.claim.setUp ?? this.setUp(this.liveGuest, this.host.deadlines.guestSetup, signal);
      this.clock = (await setUp).clock;
      await this.entering;
    });
  }

  private setUp(guest: GuestLink, deadlineMs: number, signal: AbortSignal): Promise<GuestSetUp> {
    const { spec, host, logger } = this;
    const { memoryBytes } = this.shape;
    return setUpGuest(guest, { spec, memoryBytes, host, logger, deadlineMs, signal });
  }

  /** The VMM's events, as the chart takes them; never errors. */
  vmmEvents$(): Observable<SandboxEvent> {
    return vmmEvents$(this.liveVm, this.logger);
  }

  /** The guest's events, as the chart takes them; never errors. */
  guestEvents$(): Observable<SandboxEvent> {
    return guestEvents$(this.guest ?? this.liveGuest);
  }

  /** Kills what runs, and lets the last output reach its FIFO. */
  async stopContainers(signal: AbortSignal): Promise<void> {
    await Promise.all([...this.containers.values()].map((container) => container.kill(signal)));
    await Promise.race([
      Promise.all([...this.containers.values()].map((container) => container.drained())),
      new Promise((resolve) => setTimeout(resolve, DRAIN_MS).unref()),
    ]);
  }

  async shutDownGuest(signal: AbortSignal): Promise<void> {
    const deadlineMs = this.host.deadlines.guestShutdown;
    await this.liveGuest.request("sandbox.shutdown", {}, { deadlineMs, signal });
    await this.vm?.exited;
  }

  async endVmm(): Promise<void> {
    await this.idle();
    try {
      await this.claim.giveUp();
    } finally {
      await this.vm?.kill();
      this.guest?.close();
      for (const container of this.containers.values()) container.guestGone();
      await (this.vm === undefined ? this.held.undo(isProcess) : this.held.gone(isProcess));
    }
  }

  async tearDownNetwork(): Promise<void> {
    await this.idle();
    await this.held.undo(({ kind }) => kind === "network");
  }

  async tearDownStorage(): Promise<void> {
    await this.idle();
    await Promise.allSettled([...this.containers.values()].map((container) => container.settled()));
    await this.held.undo((resource) => resource.kind !== "stdio");
  }

  /**
   * The last step, after the chart has ended: nobody will ask for the containers again. Undoes whatever the
   * journal still holds and removes the journal. Throws what could not be undone; may be called again.
   */
  finish(): Promise<void> {
    this.finishing ??= this.finishSteps().finally(() => {
      this.finishing = undefined;
    });
    return this.finishing;
  }

  private async finishSteps(): Promise<void> {
    await this.idle();
    await Promise.all([...this.containers.values()].map((container) => container.closeStdio()));
    await this.claim.giveUp();
    if (!this.held.isOpen) return;
    await this.held.undo(() => true);
    await this.held.close();
    if (this.user !== undefined) this.host.users?.release(this.user);
    this.user = undefined;
  }

  /** Remembers work under way, so that taking down waits for it. */
  track<T>(work: () => Promise<T>): Promise<T> {
    const promise = work();
    this.underWay.add(promise);
    const forget = () => this.underWay.delete(promise);
    promise.then(forget, forget);
    return promise;
  }

  private async start(
    template: string | undefined,
    signal: AbortSignal,
    original?: OriginalVm,
  ): Promise<{ pid: number }> {
    // one that was too late is undone first
    await this.adopting;
    await this.prepareVm(signal);
    const spare = template === undefined ? undefined : await this.intendSpare();
    const resource = { kind: "process" as const, id: this.id };
    const ref = await this.journal.intend(resource);
    let forked: Vm | undefined;
    try {
      const spec = {
        ...this.shape,
        id: this.id,
        directory: this.vmDirectory,
        shareDirectory: this.shareDirectory,
        user: this.user,
        cgroups: this.cgroupProcs,
        template,
        disk: spare?.disk.path,
        forkable: this.forkable,
      };
      forked = await this.forkOf(original, spec, signal);
      this.vm = forked ?? (await this.host.driver.launch(spec, signal));
    } catch (error) {
      // the driver leaves nothing of a launch that failed
      await Promise.all([ref, spare?.ref].map((each) => each && this.journal.undone(each)));
      throw error;
    }
    this.spare = spare?.disk;
    await this.journal.amend(ref, { ...resource, ...this.vm.identity });
    const { pid } = this.vm.identity;
    // a fork is born where its original is; meanwhile its guest is set up
    const moved = forked && this.host.cgroups.enter(this.cgroupProcs, pid);
    this.enter(this.connectNetwork(), ...(moved === undefined ? [] : [moved]));
    return { pid };
  }

  /** Undefined where there is nothing to fork, or it could not be forked: then the VM is a clone. */
  private async forkOf(
    original: OriginalVm | undefined,
    spec: VmSpec,
    signal: AbortSignal,
  ): Promise<Vm | undefined> {
    try {
      return await original?.fork(spec, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      this.logger.warn({ err: error }, "the VM could not be forked and is cloned");
      return undefined;
    }
  }

  /** Steps that go on while the guest starts or is set up; they are awaited with its set-up. */
  private enter(...steps: readonly Promise<void>[]): void {
    this.entering = this.track(() => Promise.all(steps).then(() => undefined));
    this.entering.catch(() => undefined);
  }

  /** The same step for a VM that is new and for one that was warm. */
  private async connectNetwork(): Promise<void> {
    const { id, netnsPath } = this.spec;
    if (netnsPath === "") return;
    const { networks } = this.host;
    await this.held.make({ kind: "network", id, netnsPath }, () => networks.connect(this.liveVm, this.spec));
  }

  /** The disk that a clone gets with its template's guest; undefined = templates have none. */
  private async intendSpare(): Promise<{ readonly disk: SpareDisk; readonly ref: number } | undefined> {
    const id = this.host.driver.templates?.diskId;
    if (id === undefined) return undefined;
    const disk = { id, path: this.sparePath };
    return { disk, ref: await this.journal.intend({ kind: "file", path: disk.path }) };
  }

  /** The VM's user and directories; once, also if a clone failed and a boot follows. */
  private async prepareVm(signal: AbortSignal): Promise<void> {
    if (this.vmPrepared) return;
    const { host } = this;
    this.user ??= host.users?.take();
    signal.throwIfAborted();
    await this.held.make({ kind: "directory", path: this.vmDirectory }, () =>
      host.files.makeDirectory(this.vmDirectory, 0o700, this.user),
    );
    if (this.spec.sharedDirectory === undefined) await host.files.makeDirectory(this.shareDirectory, 0o755);
    this.vmPrepared = true;
  }

  /** Gives up an adopted VM, so that another one can be started; its directories stay in the journal until the end. */
  private async dropVm(): Promise<void> {
    this.claim.forgetHeadStart();
    this.guest?.close();
    await this.vm?.kill();
    await this.entering.catch(() => undefined);
    await this.held.gone(isProcess);
    await this.held.undo(({ kind }) => kind === "network");
    if (this.user !== undefined) this.host.users?.release(this.user);
    this.vm = undefined;
    this.guest = undefined;
    this.spare = undefined;
    this.user = undefined;
    this.vmPrepared = false;
    this.vmDirectory = join(this.host.stateDirectory, "vm", this.host.randomHex(VM_NAME_BYTES));
    this.shareDirectory = join(this.directory, "share");
  }

  /** Ends a VM that no chart drives: a warm one that is not wanted any more. Throws what could not be undone. */
  async destroy(): Promise<void> {
    if (!this.journalOpen) return;
    await this.endVmm();
    await this.finish();
  }

  private async idle(): Promise<void> {
    await Promise.allSettled([...this.underWay]);
  }
}

/** A VMM that was killed is reaped: then there is nothing to look for. */
function isProcess({ kind }: HostResource): boolean {
  return kind === "process";
}

function cannotFork(id: string): BlazarError {
  return blazarError("IllegalTransition", "fork a VM", "its driver has no forks", { subject: id });
}
