/**
 * The port to VMs that are forks of another VM's process: what only an emulating VMM can do, and only it gains by.
 *
 * An **original** is a clone that is made ready like any other, then paused for good. A fork of it goes on where it was
 * paused, with everything that the VMM has translated. An original serves nobody and never runs again. It ends like any
 * VM, and its forks go on without it.
 */
import type { Vm, VmSpec } from "./vm.ts";

export interface VmForks {
  /** Whether VMs can be forked on this host. */
  possible(signal?: AbortSignal): Promise<boolean>;
  /** Launches a clone that can become an original. Throws what a launch throws. */
  launchOriginal(spec: VmSpec, signal?: AbortSignal): Promise<Vm>;
  /**
   * Makes it an original: pauses it, and from now on `{kind: "fork", original: vm.id}` is a source. Whoever calls has let
   * go of its agent. Throws InvalidArgument if it was not launched for that.
   */
  completeOriginal(vm: Vm, signal: AbortSignal): Promise<void>;
}
