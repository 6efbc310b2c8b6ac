/**
 * A VMM driver in memory: the {@link VmmDriver} port with faults at a test's will and no process anywhere.
 *
 * It passes the same conformance suites as the real drivers; with `templates` it clones and forks as QEMU does. It keeps
 * every VM that it ever launched, so that a test can hold one by its guest, end it from outside, or see what is left. VMs
 * outlive the daemon that has launched them, see {@link FakeVmmDriver.daemonDies}.
 */
import { BlazarError, blazarError } from "../../../src/contracts/errors.ts";
import { KVM_UNWANTED } from "../../../src/contracts/kvm.ts";
import type { Vm, VmSpec } from "../../../src/contracts/vm.ts";
import type { AdoptedVm, VmAdoption, VmmDriver, VmmFacts } from "../../../src/contracts/vmm.ts";
import { abortable, onAbort } from "../../../src/lib/async.ts";
import { SIGKILL } from "../../../src/lib/signals.ts";
import type { FakeGuestOptions } from "../fake-guest/guest.ts";
import { FakeForks } from "./forks.ts";
import { FakeTemplates } from "./templates.ts";
import { FakeVm, type Inherited, type VmFaults } from "./vm.ts";

export interface FakeVmmOptions {
  /** What an adoption of a VM goes through; called once each. */
  readonly adoption?: (vm: FakeVm) => "hangs" | BlazarError | undefined;
  /** What is wrong with a VM to be; called once a launch. `spec.source` says whether it boots, is a clone or a fork. */
  readonly faults?: (spec: VmSpec) => VmFaults;
  /** What is in a VM to be; called once a launch. */
  readonly guest?: (spec: VmSpec) => Omit<FakeGuestOptions, "onPowerOff">;
  /** What `probe` and every launch fail with. */
  readonly missing?: BlazarError;
  /** Whether it clones and forks; default false. */
  readonly templates?: boolean;
  /** Runs a callback later; default queueMicrotask. */
  readonly schedule?: (callback: () => void) => void;
}

const FACTS: VmmFacts = { version: "1.0-fake", acceleration: "tcg", kvm: KVM_UNWANTED };

export class FakeVmmDriver implements VmmDriver {
  readonly name = "fake";
  readonly templates: FakeTemplates | undefined;
  readonly forks: FakeForks | undefined;
  /** Every VM that was launched, by id; a later one of the same id takes its place. */
  readonly vms = new Map<string, FakeVm>();
  /** Launches that the fault `slow` holds, by id: call to let one go on. */
  facts: VmmFacts | undefined;
  readonly held = new Map<string, () => void>();
  /** What has been launched, in order, failures included. */
  readonly launches: VmSpec[] = [];
  /** Paths of the disks that clones and forks got. A launch that fails removes its own; the others are their owners'. */
  readonly disks = new Set<string>();
  private readonly living = new Map<string, FakeVm>();
  private readonly schedule: (callback: () => void) => void;
  private nextPid = 1000;

  constructor(private readonly options: FakeVmmOptions = {}) {
    this.schedule = options.schedule ?? queueMicrotask;
    if (options.templates !== true) return;
    this.templates = new FakeTemplates((spec, signal) => this.launch(spec, signal));
    this.forks = new FakeForks((spec, signal) => this.launch(spec, signal));
  }

  /** Ids of the VMs that live. */
  get running(): string[] {
    return [...this.living.keys()];
  }

  /** As much as QEMU says of itself when it emulates one processor. */
  ownBytes(): number {
    return 144 * 2 ** 20;
  }

  async probe(signal?: AbortSignal): Promise<VmmFacts> {
    this.check("probe", signal);
    this.facts = FACTS;
    return FACTS;
  }

  async launch(spec: VmSpec, signal?: AbortSignal): Promise<FakeVm> {
    this.launches.push(spec);
    this.check(spec.id, signal);
    const inherited = this.inherited(spec);
    if (this.living.has(spec.id)) {
      throw failure("ProcessExists", spec.id, "there is a process with this id");
    }
    const vm = this.make(spec, inherited);
    const disk = spec.source.kind === "boot" ? undefined : spec.source.disk;
    if (disk !== undefined) this.disks.add(disk);
    try {
      await this.answer(vm, signal);
      return vm;
    } catch (error) {
      vm.die(-1, SIGKILL);
      if (disk !== undefined) this.disks.delete(disk);
      throw error;
    }
  }

  /** The same VM as before, for the daemon that comes after {@link daemonDies}. */
  async adopt({ id, identity }: VmAdoption, signal?: AbortSignal): Promise<AdoptedVm> {
    this.check(id, signal);
    const vm = this.vms.get(id);
    const isSame = vm?.identity.pid === identity.pid && vm.identity.startTime === identity.startTime;
    if (vm === undefined || !isSame) throw failure("VmmExited", id, "it has ended");
    await this.reach(vm, signal);
    const { paused, slots } = vm;
    return { vm, paused, disks: [...vm.disks.keys()], slots };
  }

  /** The daemon is killed: its links are cut and nobody is told; the VMs run on. */
  daemonDies(): void {
    for (const vm of this.living.values()) vm.forsake();
    this.held.clear();
  }

  /** The VM of this id. Throws if there never was one. */
  vm(id: string): FakeVm {
    const vm = this.vms.get(id);
    if (vm === undefined) throw new Error(`no VM ${id} was launched`);
    return vm;
  }

  /** What a VM that does not boot starts with. Throws what a launch throws. */
  private inherited(spec: VmSpec): Inherited | undefined {
    const { source } = spec;
    if (source.kind === "boot") return undefined;
    const { templates, forks } = this;
    if (templates === undefined || forks === undefined)
      throw failure("Unimplemented", spec.id, "this driver neither clones nor forks");
    const inherited =
      source.kind === "clone"
        ? templates.cloneOf(source.template, spec)
        : forks.forkOf(source.original, spec);
    if (source.disk === undefined) throw failure("InvalidArgument", spec.id, "it has no place for its disk");
    return inherited;
  }

  private make(spec: VmSpec, inherited: Inherited | undefined): FakeVm {
    const vm: FakeVm = new FakeVm({
      spec,
      inherited,
      pid: this.nextPid++,
      faults: this.options.faults?.(spec) ?? {},
      guest: this.options.guest?.(spec) ?? {},
      schedule: this.schedule,
      onExit: () => this.ended(vm),
    });
    this.vms.set(spec.id, vm);
    this.living.set(spec.id, vm);
    return vm;
  }

  private ended(vm: FakeVm): void {
    this.living.delete(vm.id);
    this.forks?.ended(vm);
  }

  /** Resolves when the VMM answers; rejects when it will not, or at the abort. */
  private answer(vm: FakeVm, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const forget = onAbort(signal, () => this.schedule(() => reject(cancelled(vm.id))));
      const settle = (): void => {
        forget();
        if (signal?.aborted === true) return reject(cancelled(vm.id));
        if (vm.faults.launch === "fails") return reject(died(vm, "it ended with status 1: fake"));
        if (vm.exit !== undefined) return reject(died(vm, "it ended"));
        resolve();
      };
      void vm.exited.then(settle);
      if (vm.faults.launch === "hangs") return;
      if (vm.faults.launch === "slow") this.held.set(vm.id, settle);
      else this.schedule(settle);
    });
  }

  private async reach(vm: FakeVm, signal: AbortSignal | undefined): Promise<void> {
    const fault = this.options.adoption?.(vm);
    const what = { operation: "take over the VMM", subject: vm.id };
    const answer = new Promise<void>((resolve) => {
      if (fault !== "hangs") this.schedule(resolve);
    });
    await abortable(Promise.race([answer, vm.exited]), signal, what);
    if (vm.exit !== undefined) throw failure("VmmExited", vm.id, "it has ended");
    if (fault instanceof BlazarError) throw fault;
  }

  private check(subject: string, signal: AbortSignal | undefined): void {
    if (this.options.missing !== undefined) throw this.options.missing;
    if (signal?.aborted === true) throw cancelled(subject);
  }
}

/** A clone that does not start is its template's fault. */
function died({ id, spec }: Vm & { readonly spec: VmSpec }, reason: string): BlazarError {
  return failure(spec.source.kind === "clone" ? "TemplateBroken" : "VmmFailed", id, reason);
}

function cancelled(subject: string): BlazarError {
  return failure("Cancelled", subject, "it was called off");
}

function failure(code: BlazarError["code"], subject: string, reason: string): BlazarError {
  return blazarError(code, "start the VMM", reason, { subject });
}
