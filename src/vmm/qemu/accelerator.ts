/**
 * How a guest's instructions are run, and what QEMU and the guest's kernel have to be told because of it.
 *
 * KVM needs nothing. Whatever emulation needs is made in tcg/ and reaches the rest of the driver as one of these.
 */
import type { Acceleration } from "../../contracts/vm.ts";

export interface Accelerator {
  readonly name: Acceleration;
  /** What `-cpu` takes. */
  readonly cpu: string;
  /** What `-accel` takes after the name. */
  readonly options: readonly string[];
  /** Arguments for the guest's kernel. */
  readonly kernelArguments: readonly string[];
  /** Bytes that it takes of QEMU's own memory, at most. */
  readonly bytes: number;
}

/** The guest sees the host's processor, and KVM tells it the frequency of its clock. */
export const KVM: Accelerator = { name: "kvm", cpu: "host", options: [], kernelArguments: [], bytes: 0 };
