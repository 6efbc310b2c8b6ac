/**
 * The effects of the chart vm-boot: how one VM really comes to be, for a sandbox, for the pool or as an original.
 *
 * Each resource's intent is in the owner's journal before the resource is made. Effects run one after the other: the next
 * way to a VM begins only when the one before, which was too late, has been undone. It ends as a {@link GuestVm}.
 */
import type { Observable } from "rxjs";
import { type BlazarError, blazarError } from "../../../contracts/errors.ts";
import type { SandboxHistory } from "../../../contracts/history.ts";
import type { Vm, VmSource } from "../../../contracts/vm.ts";
import { abortable, onAbort } from "../../../lib/async.ts";
import { monotonicNow } from "../../../lib/deadline-timer.ts";
import { UnderWay } from "../../../lib/under-way.ts";
import type { Examination, Fallback, VmBootEvent, VmOrigin } from "../../../machines/vm-boot.setup.ts";
import { asStep } from "../../as-step.ts";
import { GuestLink } from "../../guest/link.ts";
import { type GuestSetUp, setUpGuest } from "../../guest/setup.ts";
import { Claim } from "../../supply/claim.ts";
import { vmmEvents$ } from "../chart-events.ts";
import { GuestVm, isProcess, type PreparedDisk, preparedDiskPath } from "../guest-vm.ts";
import { OneConnection } from "../one-connection.ts";
import { type VmPlace, VmPlaces } from "../place.ts";
import { Examiner } from "./examiner.ts";
import type { VmBootOptions, VmBootPorts } from "./vm-boot-options.ts";

/** A warm guest that takes longer for its set-up is given up and another VM taken. */
const WARM_SET_UP_MS = 2_000;

export class VmBoot {
  readonly id: string;
  /** The VM, from its launch or adoption on. */
  vm: GuestVm | undefined;
  private readonly claim: Claim;
  private readonly examiner = new Examiner();
  private readonly underWay = new UnderWay();
  private readonly places: VmPlaces;
  /** `cgroup.procs` files that the VMM belongs into. */
  private procs: readonly string[] = [];
  /** Steps that go on while the guest is set up. */
  private meanwhile: Promise<unknown> = Promise.resolve();
  private settingUp: Promise<GuestSetUp> | undefined;
  private readonly connection: OneConnection;

  constructor(
    private readonly options: VmBootOptions,
    private readonly ports: VmBootPorts,
  ) {
    const { id, wanted, supply, logger, resources, shares } = options;
    this.id = id;
    this.places = new VmPlaces(ports, resources, shares);
    this.claim = new Claim(id, wanted, supply, logger);
    const undo = () => resources.undo(({ kind }) => kind === "network");
    this.connection = new OneConnection({ connect: (vm) => this.connectNetwork(vm), undo }, this.underWay);
  }

  /** A warm VM is promised to this start: its guest is set up from now on. */
  reserve(warm: GuestVm): void {
    const setUp = (guest: GuestLink, signal: AbortSignal) => this.setUp(guest, WARM_SET_UP_MS, signal);
    warm.link?.tells(this.history);
    this.claim.reserve(warm, setUp, monotonicNow);
    this.moveReserved();
  }

  /** The owner's control groups exist: a reserved VM moves there and is connected at once, any other when it starts. */
  enter(procs: readonly string[]): void {
    this.procs = procs;
    this.moveReserved();
  }

  /** Takes a warm VM or waits for a turn. */
  acquire(fresh: boolean, signal: AbortSignal): Promise<{ origin: VmOrigin }> {
    return this.underWay.inTurn(async () => ({ origin: (await this.claim.acquire(fresh, signal)).origin }));
  }

  /** Makes a warm VM the owner's. */
  adopt(signal: AbortSignal): Promise<{ pid: number }> {
    return this.underWay.inTurn(() => this.adoptSteps(signal));
  }

  /** Starts a copy of the original's process. */
  fork(signal: AbortSignal): Promise<{ pid: number }> {
    return this.underWay.inTurn(async () => {
      const { original } = this.claim.fresh;
      if (original === undefined) throw this.missing("fork a VM", "there is no original");
      const sourceWith = (disk: PreparedDisk | undefined) =>
        ({ kind: "fork", original: original.vmId, disk: disk?.path }) as const;
      return this.start(sourceWith, signal);
    });
  }

  /** Starts a clone of the template that was granted. */
  clone(signal: AbortSignal): Promise<{ pid: number }> {
    return this.underWay.inTurn(async () => {
      const { lease } = this.claim.fresh;
      if (lease === undefined) throw this.missing("clone a VM", "there is no template");
      const template = lease.template.directory;
      return this.start((disk) => ({ kind: "clone", template, disk: disk?.path }), signal);
    });
  }

  boot(signal: AbortSignal): Promise<{ pid: number }> {
    return this.underWay.inTurn(() => this.start(() => ({ kind: "boot" }), signal));
  }

  connectAgent(signal: AbortSignal): Promise<void> {
    return this.underWay.inTurn(async () => {
      const vm = this.running;
      const { logger } = this.options;
      const { session, text, traffic } = this.ports;
      const link = new GuestLink(await vm.vm.connectAgent(signal), {
        sandboxId: this.id,
        session,
        text,
        logger,
        traffic,
        history: this.history,
      });
      vm.link = link;
      const forget = onAbort(signal, () => link.close());
      try {
        const { agent, kernel, timeline } = await link.hello;
        logger.debug({ agent, kernel, timeline }, "the guest's agent said hello");
        if (vm.source === "fork") this.claim.fresh.original?.forked();
      } finally {
        forget();
      }
    });
  }

  /** Looks at a guest that has not said hello. Not in turn: the wait for its agent goes on meanwhile. */
  async examine(): Promise<Examination> {
    const { vm, source } = this.running;
    return { dead: await this.examiner.examine(vm, source, this.ports.deadlines.firstSign) };
  }

  /** A way to a VM led nowhere: whoever has what was copied hears of it. */
  gaveUp(from: Fallback["from"], error: BlazarError): void {
    // the keeper's death says nothing of what was copied
    if (error.code === "KeeperLost") return;
    if (from === "clone") this.claim.fresh.lease?.distrust(error);
    if (from !== "fork") return;
    const { original } = this.claim.fresh;
    original?.forked(error);
    // it was copied, and the copy does not run: what was copied is damaged
    if (this.vm !== undefined) original?.distrust();
  }

  /** Sets the guest up, unless that was done ahead, and waits for what goes on beside it. */
  setUpGuest(signal: AbortSignal): Promise<void> {
    return this.underWay.inTurn(async () => {
      const vm = this.running;
      const { guestSetup } = this.ports.deadlines;
      this.settingUp ??= this.setUp(vm.liveLink, guestSetup, signal);
      vm.clock = (await this.settingUp).clock;
      await this.meanwhile;
      vm.record();
    });
  }

  /** The VMM's events, as the charts take them; never errors. */
  vmmEvents$(): Observable<VmBootEvent> {
    return vmmEvents$(this.running.vm, this.options.logger);
  }

  /** The start is over, one way or the other: the next one may have its turn. */
  endTurn(): void {
    this.claim.endTurn();
    this.procs = [];
    this.settingUp = undefined;
  }

  /** Ends whatever there is of the VM. Waits for effects that were cut short. May be called again. */
  async end(): Promise<void> {
    // what is under way may wait for the guest, which has no use any more
    this.vm?.vm.kill().catch(() => undefined);
    await this.underWay.settled();
    try {
      await this.claim.release();
    } finally {
      await (this.vm === undefined ? this.options.resources.undo(isProcess) : this.vm.end());
    }
  }

  /** The last step, when everything is undone: gives back what {@link end} could not, and the users. */
  async finish(): Promise<void> {
    await this.underWay.settled();
    await this.claim.release();
    this.places.releaseUsers();
  }

  /** An earlier daemon has made the VM for this owner. */
  takeOver(vm: GuestVm): void {
    this.vm = vm;
  }

  /** An earlier daemon has given the owner's VM this user, whether there is a VM or not. */
  ownUser(user: VmPlace["user"]): void {
    this.places.own(user);
  }

  /** Hands out a VM that no sandbox owns: from now on it answers for itself, its user included. */
  release(): GuestVm {
    const { running: vm } = this;
    this.places.disown(vm.place.user);
    this.places.releaseUsers();
    return vm;
  }

  /** As soon as there is a reserved VM and it is known where it belongs. */
  private moveReserved(): void {
    const { reservation } = this.claim;
    if (this.procs.length === 0 || reservation === undefined) return;
    reservation.enter((pid) => this.enterGroups(pid));
    // what fails is told at its start
    void this.connection.to(reservation.warm);
  }

  private enterGroups(pid: number): Promise<void> {
    return this.told("enter cgroups", () => this.ports.cgroups.enter(this.procs, pid));
  }

  /** Of the sandbox whose VM it is. */
  private get history(): SandboxHistory {
    return this.ports.histories.of(this.id);
  }

  private told<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
    return asStep(this.history, name, work, "boot");
  }

  private get running(): GuestVm {
    if (this.vm !== undefined) return this.vm;
    throw blazarError("VmmExited", "reach the VMM", "it does not run", { subject: this.id });
  }

  private async adoptSteps(signal: AbortSignal): Promise<{ pid: number }> {
    const { resources, logger, id } = this.options;
    const { warm, reservation } = this.claim;
    await resources.adopt(warm.resources);
    this.claim.adopted();
    const before = warm.belongTo(id, resources, logger);
    warm.link?.tells(this.history);
    this.vm = warm;
    warm.groups = this.procs;
    this.places.own(warm.place.user);
    try {
      await before.handOver();
      if (warm.networkAhead !== undefined && this.options.connectNetwork === undefined)
        throw this.missing("adopt a warm VM", "it has the host's network, and the pod has none");
      const { pid } = warm.vm.identity;
      // moving between control groups waits for the kernel's grace periods: meanwhile the guest is set up
      const moved = reservation?.entered ?? this.enterGroups(pid);
      this.goOn(moved, this.joinNetwork(warm));
      this.settingUp = reservation?.ready ?? this.setUp(warm.liveLink, WARM_SET_UP_MS, signal);
      await abortable(this.settingUp, signal, { operation: "set up a warm VM", subject: id });
      return { pid };
    } catch (error) {
      reservation?.cancel();
      await this.dropVm();
      throw error;
    }
  }

  private async start(
    sourceWith: (disk: PreparedDisk | undefined) => VmSource,
    signal: AbortSignal,
  ): Promise<{ pid: number }> {
    // it came too late for the chart, which has gone on to the next way
    if (this.vm !== undefined) await this.dropVm();
    const { id, wanted, resources } = this.options;
    const place = await this.places.make(signal);
    const isCopy = sourceWith(undefined).kind !== "boot";
    const disk = isCopy ? this.templateDisk() : undefined;
    const { journal } = resources;
    const diskRef = disk && (await journal.intend({ kind: "file", path: disk.path }));
    const source = sourceWith(disk);
    const ref = await journal.intend({ kind: "process", id });
    let vm: Vm;
    try {
      const { directory, user } = place;
      const spec = { ...wanted.shape, id, directory, user, cgroups: this.procs, source };
      vm = await this.told("vmm launch", () => this.ports.launch(spec, signal));
    } catch (error) {
      // the driver leaves nothing of a launch that failed
      await Promise.all([ref, diskRef].map((each) => each && journal.undone(each)));
      throw error;
    }
    this.vm = this.guestVm(vm, source.kind, place, disk);
    this.vm.groups = this.procs;
    await journal.amend(ref, { kind: "process", id, ...vm.identity });
    // a fork is born where its original is; meanwhile its guest is set up
    const moved = source.kind === "fork" ? this.enterGroups(vm.identity.pid) : undefined;
    this.goOn(this.joinNetwork(this.vm), moved);
    return { pid: vm.identity.pid };
  }

  private guestVm(vm: Vm, source: VmSource["kind"], place: VmPlace, disk: PreparedDisk | undefined): GuestVm {
    const { wanted, resources, logger } = this.options;
    const { shape } = wanted;
    const { users } = this.ports;
    const template = source === "boot" ? undefined : this.claim.fresh.lease?.template.key;
    return new GuestVm({ vm, shape, source, template, place, disk, resources, logger, users });
  }

  /** The disk that a copy gets with its template's guest. */
  private templateDisk(): PreparedDisk | undefined {
    const { templateDisk, scratchDirectory } = this.ports;
    if (templateDisk === undefined) return undefined;
    return { id: templateDisk, path: preparedDiskPath(scratchDirectory, this.id) };
  }

  private setUp(guest: GuestLink, deadlineMs: number, signal: AbortSignal): Promise<GuestSetUp> {
    const { guest: spec, logger } = this.options;
    return setUpGuest(guest, { spec, ports: this.ports, logger, deadlineMs, signal });
  }

  /** Steps that go on while the guest starts or is set up; they are awaited with its set-up. */
  private goOn(...steps: readonly (Promise<void> | undefined)[]): void {
    this.meanwhile = this.underWay.track(() => Promise.all(steps));
    this.meanwhile.catch(() => undefined);
  }

  private async joinNetwork(vm: GuestVm): Promise<void> {
    await this.connection.to(vm);
    this.options.followNetwork?.();
  }

  private async connectNetwork(vm: GuestVm): Promise<void> {
    const { connectNetwork } = this.options;
    if (connectNetwork !== undefined) await this.told("connect network", () => connectNetwork(vm));
  }

  /** Gives up a VM, so that another one can be started; its directories stay in the journal until the end. */
  private async dropVm(): Promise<void> {
    this.claim.forgetReservation();
    this.settingUp = undefined;
    this.vm?.link?.close();
    await this.vm?.end();
    await this.meanwhile.catch(() => undefined);
    await this.connection.undo();
    this.vm = undefined;
    this.places.abandon();
  }

  private missing(operation: string, reason: string) {
    return blazarError("IllegalTransition", operation, reason, { subject: this.id });
  }
}
