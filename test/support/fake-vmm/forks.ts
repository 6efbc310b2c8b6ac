/**
 * Forks of a {@link FakeVmmDriver}: which of its VMs are originals, and what a fork has from its original.
 *
 * It keeps the port's rules (src/contracts/vm-forks.ts): only a clone that was launched for it can become an original,
 * and an original that has ended is not there any more.
 */
import { type BlazarError, blazarError } from "../../../src/contracts/errors.ts";
import { isSameShape, type Vm, type VmSpec } from "../../../src/contracts/vm.ts";
import type { VmForks } from "../../../src/contracts/vm-forks.ts";
import { inheritedFrom } from "./templates.ts";
import type { FakeVm, Inherited } from "./vm.ts";

interface Original {
  readonly vm: FakeVm;
  readonly inherited: Inherited;
}

export class FakeForks implements VmForks {
  /** What {@link possible} says; a driver without forks launches no original. */
  works = true;
  /** By id; those that live. */
  readonly originals = new Map<string, Original>();
  private readonly launched = new WeakMap<Vm, FakeVm>();

  constructor(private readonly clone: (spec: VmSpec, signal?: AbortSignal) => Promise<FakeVm>) {}

  async possible(): Promise<boolean> {
    return this.works;
  }

  async launchOriginal(spec: VmSpec, signal?: AbortSignal): Promise<FakeVm> {
    if (spec.source.kind !== "clone") throw failure("InvalidArgument", spec.id, "it is no clone");
    if (!this.works) throw failure("Unimplemented", spec.id, "only emulated guests can be forked");
    const vm = await this.clone(spec, signal);
    this.launched.set(vm, vm);
    return vm;
  }

  async completeOriginal(vm: Vm, signal: AbortSignal): Promise<void> {
    const launched = this.launched.get(vm);
    if (launched === undefined) throw failure("InvalidArgument", vm.id, "it was not launched for that");
    if (signal.aborted) throw failure("Cancelled", vm.id, "it was called off");
    await launched.pause();
    this.originals.set(vm.id, { vm: launched, inherited: inheritedFrom(launched) });
  }

  /** What a fork of `original` starts with. Throws VmNotFound, InvalidArgument. */
  forkOf(original: string, wanted: VmSpec): Inherited {
    const { id } = wanted;
    const found = this.originals.get(original);
    if (found === undefined) throw failure("VmNotFound", id, `there is no original ${original} any more`);
    const { spec } = found.vm;
    if (!isSameShape(spec, wanted)) throw failure("InvalidArgument", id, `${original} has another shape`);
    return found.inherited;
  }

  /** A VM of the driver has ended. */
  ended(vm: FakeVm): void {
    if (this.originals.get(vm.id)?.vm === vm) this.originals.delete(vm.id);
  }
}

function failure(code: BlazarError["code"], subject: string, reason: string): BlazarError {
  return blazarError(code, "fork a VM", reason, { subject });
}
