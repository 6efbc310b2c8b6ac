/**
 * VMs that are forks of another one's process (native/fork/vmm-fork.c), which has translated what they are going to run.
 *
 * An original is a clone that was launched with the library preloaded and is paused for good. What differs between it and
 * a fork is the user, the sockets, the share, the log and the disk; QEMU goes on with the same descriptors, which mean
 * the fork's. Only for emulated guests: a descriptor of KVM's belongs to one process.
 */
import { realpath, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { blazarError } from "../../../contracts/errors.ts";
import type { LayerImages } from "../../../contracts/storage.ts";
import type { Acceleration, Vm, VmDisk, VmSpec } from "../../../contracts/vm.ts";
import type { ForkDriver, OriginalVm } from "../../../contracts/vmm.ts";
import { capabilityMask } from "../../../protocol/guest/capabilities.ts";
import { forkVm, type Launcher } from "../launch.ts";
import { vmPaths } from "../paths.ts";
import { capabilities } from "../process.ts";

/** A guest that was spoken to notices that its host is gone, and finishes what its kernel has put off. */
const SETTLE_MS = 200;
/** In the original's directory: what is on its disk. */
const PACKED_DISK = "disk.packed";

/** How an original was launched. */
interface Launched {
  readonly spec: VmSpec;
  readonly launcher: Launcher;
  readonly disk: VmDisk | undefined;
}

export interface VmForksOptions {
  /** To be preloaded. */
  readonly library: string;
  readonly images: LayerImages | undefined;
  readonly prepared: (signal?: AbortSignal) => Promise<{ readonly acceleration: Acceleration }>;
}

export class VmForks implements ForkDriver {
  private readonly originals = new WeakMap<Vm, Launched>();

  constructor(private readonly options: VmForksOptions) {}

  get library(): string {
    return this.options.library;
  }

  async possible(signal?: AbortSignal): Promise<boolean> {
    return (await this.options.prepared(signal)).acceleration === "tcg";
  }

  /** `vm` has the library. */
  launched(vm: Vm, how: Launched): void {
    this.originals.set(vm, how);
  }

  async original(vm: Vm, signal: AbortSignal): Promise<OriginalVm> {
    const how = this.originals.get(vm);
    if (how === undefined) {
      const reason = "it was not launched for that";
      throw blazarError("InvalidArgument", "fork a VM", reason, { subject: vm.id });
    }
    await delay(SETTLE_MS, undefined, { signal });
    // from now on neither its memory nor its disk change
    await vm.pause();
    const { disk, spec } = how;
    const packed = join(spec.directory, PACKED_DISK);
    if (disk !== undefined) await this.options.images?.pack(disk.path, packed);
    const [share, log, image] = await Promise.all(
      [spec.shareDirectory, vmPaths(spec.directory).log, disk?.path].map((path) => path && realpath(path)),
    );
    const files = { share, log, disk: image };
    return { fork: (forked, abort) => this.fork(vm, { ...how, files, packed }, forked, abort) };
  }

  private async fork(vm: Vm, original: Original, spec: VmSpec, signal: AbortSignal | undefined): Promise<Vm> {
    const { launcher, files } = original;
    if (spec.vcpus !== original.spec.vcpus || spec.memoryBytes !== original.spec.memoryBytes) {
      const reason = `${vm.id} has another shape`;
      throw blazarError("InvalidArgument", "fork a VM", reason, { subject: spec.id });
    }
    if (files.disk !== undefined && spec.disk !== undefined)
      await this.options.images?.unpack(original.packed, spec.disk, spec.user);
    try {
      const fork = { of: vm.id, words: words(original, spec) };
      return await forkVm(launcher, spec, vm.acceleration, fork, signal);
    } catch (error) {
      if (spec.disk !== undefined) await rm(spec.disk, { force: true });
      throw error;
    }
  }
}

interface Original extends Launched {
  /** As QEMU has opened them. */
  readonly files: {
    readonly share: string | undefined;
    readonly log: string | undefined;
    readonly disk: string | undefined;
  };
  readonly packed: string;
}

/** What the library is told. */
function words({ files }: Original, spec: VmSpec): string[] {
  const { user, directory } = spec;
  const pairs = [
    [files.share, spec.shareDirectory],
    [files.log, vmPaths(directory).log],
    [files.disk, spec.disk],
  ];
  return [
    ...[user?.uid ?? "", user?.gid ?? ""].map(String),
    capabilityMask(capabilities(spec)).toString(16),
    ...[directory, spec.id],
    ...pairs.flatMap(([from, to]) => (from === undefined || to === undefined ? [] : [from, to])),
  ];
}
