/**
 * The port to a virtual machine monitor (QEMU today; Cloud Hypervisor, Firecracker … later).
 *
 * A driver turns a {@link VmSpec} into a running {@link Vm} and knows nothing of sandboxes, containers or containerd. Every
 * driver, the fake one included, passes test/support/conformance/vmm.ts, and clones.ts beside it if it clones. A failed or
 * aborted `launch` leaves nothing behind: no process, no socket, no file.
 */
import type { KvmFinding } from "./kvm.ts";
import type { Acceleration, Vm, VmNic, VmShape, VmSpec } from "./vm.ts";
import type { VmForks } from "./vm-forks.ts";

/** What a template depends on. Two with the same key can stand in for each other. */
export interface TemplateIdentity {
  /** Hash of {@link parts}, hex, at least 16 digits: fit for a file name. */
  readonly key: string;
  /** Name → value: VMM binary and version, machine, CPU model, kernel, initramfs, command line, vCPUs, memory, NICs, devices. */
  readonly parts: Readonly<Record<string, string>>;
}

/** How a driver makes templates. Knows nothing of where they are kept or when they are needed. */
export interface TemplateDriver {
  /**
   * Id of the disk that a template's VM has: an empty writable layer at first, and as `ready` has left it in every clone,
   * each with a copy of its own. Undefined = they have none.
   */
  readonly diskId: string | undefined;
  identify(shape: VmShape, signal?: AbortSignal): Promise<TemplateIdentity>;
  /**
   * Boots a VM of this shape with the files in `directory` (exists, empty), calls `ready` when it runs and, when that has
   * resolved, pauses it and writes its state. The VM is gone afterwards, whatever happens; after a failure so are the
   * files. Resolves with the steps' durations.
   */
  build(
    shape: VmShape,
    directory: string,
    ready: (vm: Vm, signal: AbortSignal) => Promise<void>,
    signal: AbortSignal,
  ): Promise<readonly { readonly step: string; readonly ms: number }[]>;
  /** Checks that a template's files are whole; `deep` reads all of the memory. Throws DataLoss kinds, NotFound. */
  verify(directory: string, deep: boolean): Promise<void>;
  /** Lets go of what the driver keeps of a template in memory for its clones; living clones are not touched. */
  forget(directory: string): Promise<void>;
}

/** What names a VM that runs, and what its VMM cannot tell. */
export interface VmAdoption extends Pick<VmSpec, "id" | "directory">, Pick<Vm, "identity"> {
  readonly nics: readonly VmNic[];
}

/** A VM that was taken over, and what its VMM says of it. */
export interface AdoptedVm {
  readonly vm: Vm;
  readonly paused: boolean;
  /** Ids of its disks, in no order: those of {@link Vm.attachDisk}, the template's, and images that are in no slot. */
  readonly disks: readonly string[];
  /** Serials of the slots that show an image. */
  readonly slots: readonly string[];
}

/** What a driver has found out about its VMM and this host. */
export interface VmmFacts {
  readonly version: string;
  /** Of the VMs that are made now. */
  readonly acceleration: Acceleration;
  readonly kvm: KvmFinding;
}

export interface VmmDriver {
  /** `"qemu"`, `"fake"`, … */
  readonly name: string;
  /** Checks that the VMM is installed and what it can do; cached. Throws VmmNotInstalled, VmmFailed. */
  probe(signal?: AbortSignal): Promise<VmmFacts>;
  /**
   * What {@link probe} has found, undefined before. A KVM that could not be used may be usable later: then VMs that are made from
   * then on use it, and this says so.
   */
  readonly facts: VmmFacts | undefined;
  /** Bytes that the VMM takes beside its guest's memory, at most. Before {@link probe} is done: with any acceleration. */
  ownBytes(vcpus: number): number;
  /** Undefined where the driver cannot clone. */
  readonly templates: TemplateDriver | undefined;
  /** Undefined where the driver cannot fork. */
  readonly forks: VmForks | undefined;
  /**
   * Starts a VM and resolves when the VMM answers; the guest boots meanwhile. The guest of a clone or a fork runs already.
   * @throws BlazarError Unimplemented if the driver has no such source, VmNotFound if the original is not there (any more)
   */
  launch(spec: VmSpec, signal?: AbortSignal): Promise<Vm>;
  /**
   * Takes over a VM that an earlier daemon's driver has launched, and that has died without letting go of it. What that daemon
   * was about to attach is attached or is not; disks and images that are there can be detached. The guest is left as it is.
   * @throws BlazarError VmmExited if the VM has ended or its guest has; then nothing is left of it. DeadlineExceeded, Cancelled,
   *   and what the VMM says: then the VM is left as it was
   */
  adopt(adoption: VmAdoption, signal?: AbortSignal): Promise<AdoptedVm>;
}
