/**
 * A VMM driver in memory: the {@link VmmDriver} port with faults at a test's will and no process anywhere.
 *
 * It passes the same conformance suite as the real drivers. It keeps every VM that it ever launched, so that a test can
 * hold one by its guest, end it from outside, or see what is left.
 */
import { type BlazarError, blazarError } from "../../../src/contracts/errors.ts";
import type { VmSpec } from "../../../src/contracts/vm.ts";
import type { VmmDriver } from "../../../src/contracts/vmm.ts";
import type { FakeGuestOptions } from "../fake-guest/guest.ts";
import { FakeVm, type VmFaults } from "./vm.ts";

export interface FakeVmmOptions {
  /** What is wrong with a VM to be; called once a launch. */
  readonly faults?: (spec: VmSpec) => VmFaults;
  /** What is in a VM to be; called once a launch. */
  readonly guest?: (spec: VmSpec) => Omit<FakeGuestOptions, "onPowerOff">;
  /** What `probe` and every launch fail with. */
  readonly missing?: BlazarError;
  /** Runs a callback later; default queueMicrotask. */
  readonly schedule?: (callback: () => void) => void;
}

export class FakeVmmDriver implements VmmDriver {
  readonly name = "fake";
  readonly templates = undefined;
  /** Every VM that was launched, by id; a later one of the same id takes its place. */
  readonly vms = new Map<string, FakeVm>();
  /** Launches that the fault `slow` holds, by id: call to let one go on. */
  readonly held = new Map<string, () => void>();
  /** What has been launched, in order, failures included. */
  readonly launches: VmSpec[] = [];
  private readonly living = new Map<string, FakeVm>();
  private readonly schedule: (callback: () => void) => void;
  private nextPid = 1000;

  constructor(private readonly options: FakeVmmOptions = {}) {
    this.schedule = options.schedule ?? queueMicrotask;
  }

  /** Ids of the VMs that live. */
  get running(): string[] {
    return [...this.living.keys()];
  }

  async probe(signal?: AbortSignal): Promise<{ readonly version: string; readonly acceleration: "tcg" }> {
    this.check(signal);
    return { version: "1.0-fake", acceleration: "tcg" };
  }

  async launch(spec: VmSpec, signal?: AbortSignal): Promise<FakeVm> {
    this.launches.push(spec);
    this.check(signal);
    if (this.living.has(spec.id)) {
      throw failure("ProcessExists", spec.id, "there is a process with this id");
    }
    const vm = this.make(spec);
    try {
      await this.answer(vm, signal);
      return vm;
    } catch (error) {
      vm.die(-1, 9);
      throw error;
    }
  }

  /** The VM of this id. Throws if there never was one. */
  vm(id: string): FakeVm {
    const vm = this.vms.get(id);
    if (vm === undefined) throw new Error(`no VM ${id} was launched`);
    return vm;
  }

  private make(spec: VmSpec): FakeVm {
    const vm = new FakeVm({
      spec,
      pid: this.nextPid++,
      faults: this.options.faults?.(spec) ?? {},
      guest: this.options.guest?.(spec) ?? {},
      schedule: this.schedule,
      onExit: () => this.living.delete(spec.id),
    });
    this.vms.set(spec.id, vm);
    this.living.set(spec.id, vm);
    return vm;
  }

  /** Resolves when the VMM answers; rejects when it will not, or at the abort. */
  private answer(vm: FakeVm, signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const onAbort = (): void => this.schedule(() => reject(cancelled(vm.id)));
      signal?.addEventListener("abort", onAbort, { once: true });
      const settle = (): void => {
        signal?.removeEventListener("abort", onAbort);
        if (signal?.aborted === true) return reject(cancelled(vm.id));
        if (vm.faults.launch === "fails")
          return reject(failure("VmmFailed", vm.id, "it ended with status 1: fake"));
        if (vm.exit !== undefined) return reject(failure("VmmFailed", vm.id, "it ended"));
        resolve();
      };
      void vm.exited.then(settle);
      if (vm.faults.launch === "hangs") return;
      if (vm.faults.launch === "slow") this.held.set(vm.id, settle);
      else this.schedule(settle);
    });
  }

  private check(signal: AbortSignal | undefined): void {
    if (this.options.missing !== undefined) throw this.options.missing;
    if (signal?.aborted === true) throw cancelled("probe");
  }
}

function cancelled(subject: string): BlazarError {
  return failure("Cancelled", subject, "it was called off");
}

function failure(code: BlazarError["code"], subject: string, reason: string): BlazarError {
  return blazarError(code, "start the VMM", reason, { subject });
}
