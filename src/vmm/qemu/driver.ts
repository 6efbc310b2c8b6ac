/**
 * QEMU's microvm machine behind the VmmDriver port.
 *
 * It finds out once what this host has (QEMU, KVM, limits), and then turns specs into VMs, which are the keeper's children.
 * It keeps no list of them: whoever launched a VM owns it. This module alone reaches into tcg/. It knows nothing of sandboxes.
 */
import { realpath } from "node:fs/promises";
import type { Deadlines } from "../../contracts/deadlines.ts";
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import type { FileSender } from "../../contracts/file-sender.ts";
import { KVM_UNWANTED } from "../../contracts/kvm.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { SeccompCompiler } from "../../contracts/seccomp.ts";
import type { LayerImages } from "../../contracts/storage.ts";
import type { Vm, VmSpec } from "../../contracts/vm.ts";
import type { AdoptedVm, VmAdoption, VmmDriver, VmmFacts } from "../../contracts/vmm.ts";
import { abortable } from "../../lib/async.ts";
import { readHostFacts } from "../common/confinement.ts";
import { checkGuestImages } from "../common/guest-images.ts";
import { type AccelerationChoice, AccelerationSearch } from "../common/kvm/acceleration.ts";
import { searchKvm } from "../common/kvm/kvm-search.ts";
import { bootOnce } from "../common/kvm/probe-boot.ts";
import type { VmmParent } from "../common/running-process.ts";
import { type Accelerator, KVM } from "./accelerator.ts";
import { type Adopter, adoptVm } from "./adopt.ts";
import { locateQemu, programForKvm, qemuVersion } from "./binary.ts";
import { type Launcher, launchVm } from "./launch.ts";
import { compileFilters } from "./system-calls.ts";
import { emulation } from "./tcg/emulation.ts";
import { TcgForks } from "./tcg/forks.ts";
import { readTscKhz } from "./tcg/tsc.ts";
import { QemuTemplates, type SealedMemory } from "./templates/driver.ts";

/** QEMU answers commands in microseconds, unless a disk holds it up. */
const COMMAND_MS = 10_000;
const DETACH_MS = 10_000;
const MEBIBYTE = 2 ** 20;
/**
 * QEMU's heap and stacks, and what the kernel has for it, page tables and sockets among others (measured: 30 MB); and the
 * file server of its volumes (3 to 20 MB).
 */
const OWN_BYTES = 52 * MEBIBYTE;
const VCPU_BYTES = 4 * MEBIBYTE;

export interface QemuDriverOptions {
  readonly keeper: VmmParent;
  /** `qemu-system-x86_64`, or an absolute path. */
  readonly binary: string;
  /** The guest's kernel (uncompressed ELF with a PVH entry) and initramfs. */
  readonly kernel: string;
  readonly initramfs: string;
  readonly acceleration: AccelerationChoice;
  readonly deadlines: Pick<Deadlines, "launch" | "vmmExit" | "kvmProbe">;
  readonly logger: Logger;
  /** Compiles the lists of what a VMM may call. */
  readonly seccomp: SeccompCompiler;
  /** Hands QEMU the files of disks. */
  readonly sendFile: FileSender;
  /** Where the answer is kept whether KVM works. */
  readonly cacheDirectory: string;
  /** Whom VMs of the driver's own run as, those that are probes or become templates; undefined = the daemon's user. */
  readonly ownUser?: VmSpec["user"] | undefined;
  /** Copies a file into memory that nobody can write to; undefined = no templates. */
  readonly sealMemory?: ((file: string) => Promise<SealedMemory>) | undefined;
  /** Makes the disks of templates and of their clones; undefined = they have none. */
  readonly images?: LayerImages | undefined;
  /** The users that VMs may have; forks need them all. */
  readonly users: { readonly firstUid: number; readonly count: number };
  /** Under emulation: what a VM's translated code may take. */
  readonly translatedCodeBytes: number;
  /**
   * What makes a VMM forkable (native/fork), to be preloaded, also for clones and where QEMU has no filter of its own; undefined =
   * clones are never forks.
   */
  readonly forkLibrary?: string | undefined;
  /** False = clones are never forks. */
  readonly forks?: boolean;
}

export class QemuDriver implements VmmDriver {
  readonly name = "qemu";
  readonly templates: QemuTemplates | undefined;
  readonly forks: TcgForks | undefined;
  private readonly options: QemuDriverOptions;
  private ready: Promise<Launcher> | undefined;
  private found: VmmFacts | undefined;
  /** What the accelerator takes at most; until it is known, as much as any. */
  private acceleratorBytes: number;

  constructor(options: QemuDriverOptions) {
    this.options = options;
    const { sealMemory, images, ownUser, users, forkLibrary, translatedCodeBytes } = options;
    this.acceleratorBytes = options.acceleration === "kvm" ? KVM.bytes : translatedCodeBytes;
    if (sealMemory === undefined) return;
    const prepared = (signal?: AbortSignal): Promise<Launcher> => this.prepared(signal);
    const templates = new QemuTemplates({
      prepared,
      sealMemory,
      images,
      user: ownUser,
      library: forkLibrary,
    });
    this.templates = templates;
    if (forkLibrary === undefined || options.forks === false) return;
    this.forks = new TcgForks({ library: forkLibrary, users, images, prepared, templates });
  }

  async probe(signal?: AbortSignal): Promise<VmmFacts> {
    const { version, accelerator } = await this.prepared(signal);
    return this.found ?? { version, acceleration: accelerator.name, kvm: KVM_UNWANTED };
  }

  get facts(): VmmFacts | undefined {
    return this.found;
  }

  ownBytes(vcpus: number): number {
    return OWN_BYTES + vcpus * VCPU_BYTES + this.acceleratorBytes;
  }

  async launch(spec: VmSpec, signal?: AbortSignal): Promise<Vm> {
    const { source } = spec;
    switch (source.kind) {
      case "boot":
        return launchVm(await this.prepared(signal), spec, signal);
      case "clone":
        if (this.templates === undefined) throw without("templates", spec);
        return (await this.templates.clone(spec, source, signal)).vm;
      case "fork":
        if (this.forks === undefined) throw without("forks", spec);
        return this.forks.launch(spec, source, signal);
    }
  }

  adopt(adoption: VmAdoption, signal?: AbortSignal): Promise<AdoptedVm> {
    return adoptVm(this.adopter, adoption, signal);
  }

  /** What can be had of a launcher before this host was looked at. */
  private get adopter(): Adopter {
    const { keeper, deadlines, logger, sendFile } = this.options;
    const { launch, vmmExit } = deadlines;
    return {
      keeper,
      vmm: "QEMU",
      launchMs: launch,
      deadlines: { commandMs: COMMAND_MS, detachMs: DETACH_MS, exitMs: vmmExit },
      logger,
      sendFile,
    };
  }

  /** Prepares once, for all who ask; a failure is forgotten, since an operator may mend it. */
  private prepared(signal: AbortSignal | undefined): Promise<Launcher> {
    this.ready ??= this.prepare().catch((error: unknown) => {
      this.ready = undefined;
      throw error;
    });
    return abortable(this.ready, signal, { operation: "prepare QEMU" });
  }

  private async prepare(): Promise<Launcher> {
    const { kernel, initramfs, logger, forkLibrary, ownUser } = this.options;
    const binary = await realpath(await locateQemu(this.options.binary));
    const version = await qemuVersion(binary);
    await checkGuestImages([kernel, initramfs]);
    const withKvm: Launcher = {
      ...this.adopter,
      // without users of their own VMs are in no jail, and have no list of system calls: the library would be all that holds them
      ...(await programForKvm(binary, version, ownUser === undefined ? undefined : forkLibrary)),
      version,
      accelerator: KVM,
      kernel,
      initramfs,
      facts: await readHostFacts(),
      calls: await compileFilters(this.options.seccomp),
    };
    const search = this.searchFor(withKvm);
    const acceleration = await search.choose();
    const launcher =
      acceleration === "kvm"
        ? withKvm
        : { ...withKvm, binary, filterLibrary: undefined, accelerator: await this.emulated() };
    logger.info({ binary: launcher.binary, version, acceleration }, "QEMU is ready");
    return this.use(launcher, search);
  }

  /** VMs are made so from now on. */
  private use(launcher: Launcher, { finding = KVM_UNWANTED }: AccelerationSearch): Launcher {
    const { version, accelerator } = launcher;
    this.acceleratorBytes = accelerator.bytes;
    this.found = { version, acceleration: accelerator.name, kvm: finding };
    return launcher;
  }

  private async emulated(): Promise<Accelerator> {
    const { logger } = this.options;
    const tscKhz = await readTscKhz();
    if (tscKhz === undefined)
      logger.warn({}, "the host's TSC frequency is not known: emulated guests may hang while they boot");
    else logger.debug({ tscKhz }, "frequency of the host's TSC");
    return emulation(tscKhz, this.options.translatedCodeBytes);
  }

  /** @param withKvm what launches the guests that show whether KVM works, and all if it does */
  private searchFor(withKvm: Launcher): AccelerationSearch {
    const { acceleration, cacheDirectory, logger, kernel, initramfs, ownUser, deadlines } = this.options;
    const boot = async () => {
      // its owner may be another one than at the last look
      const launcher = { ...withKvm, facts: await readHostFacts() };
      await bootOnce((spec) => launchVm(launcher, spec), deadlines.kvmProbe, ownUser);
    };
    const images = [kernel, initramfs];
    const { version } = withKvm;
    const search = new AccelerationSearch({
      choice: acceleration,
      logger,
      search: () => searchKvm({ version, images, cacheDirectory, logger, user: ownUser, bootWithKvm: boot }),
      onWorks: () => {
        this.ready = readHostFacts().then((facts) => this.use({ ...withKvm, facts }, search));
      },
    });
    return search;
  }
}

function without(what: string, { id, source }: VmSpec): BlazarError {
  const reason = `this driver was made without ${what}`;
  return blazarError("Unimplemented", `${source.kind} a VM`, reason, { subject: id });
}
