/**
 * QEMU's microvm machine behind the VmmDriver port.
 *
 * It finds out once what this host has (QEMU, KVM, TSC, limits) and then turns specs into VMs; the VMs are the
 * keeper's children. It keeps no list of them: whoever launched one owns it. It knows nothing of sandboxes.
 */
import { readFile, stat } from "node:fs/promises";
import type { Deadlines } from "../../contracts/deadlines.ts";
import { type BlazarError, blazarError, reasonOf } from "../../contracts/errors.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { LayerImages } from "../../contracts/storage.ts";
import type { Acceleration, Vm, VmSpec } from "../../contracts/vm.ts";
import type { VmmDriver } from "../../contracts/vmm.ts";
import { type AccelerationChoice, chooseAcceleration } from "../common/acceleration.ts";
import { bootOnce } from "../common/probe-boot.ts";
import type { VmmParent } from "../common/running-process.ts";
import { abortable } from "./abortable.ts";
import { binaryVersion, locateBinary } from "./binary.ts";
import { type Launcher, launchVm } from "./launch.ts";
import type { HostFacts } from "./process.ts";
import { VmForks } from "./tcg/forks.ts";
import { readTscKhz } from "./tcg/tsc.ts";
import { QemuTemplates, type SealedMemory } from "./templates/driver.ts";

/** QEMU answers commands in microseconds, unless a disk holds it up. */
const COMMAND_MS = 10_000;
const DETACH_MS = 10_000;
/** A boot with KVM takes well under a second; a host under load gets this. */
const PROBE_MS = 10_000;
/** Most files that a share's guest may have open. */
const OPEN_FILES = 65_536;

export interface QemuDriverOptions {
  readonly keeper: VmmParent;
  /** `qemu-system-x86_64`, or an absolute path. */
  readonly binary: string;
  /** The guest's kernel (uncompressed ELF with a PVH entry) and initramfs. */
  readonly kernel: string;
  readonly initramfs: string;
  readonly acceleration: AccelerationChoice;
  readonly deadlines: Pick<Deadlines, "launch" | "vmmExit">;
  readonly logger: Logger;
  /** Where the answer of the KVM probe is kept. */
  readonly cacheDirectory: string;
  /** Whom VMs of the driver's own run as, those that are probes or become templates; undefined = the daemon's user. */
  readonly ownUser?: VmSpec["user"] | undefined;
  /** Copies a file into memory that nobody can write to; undefined = no templates. */
  readonly sealMemory?: ((file: string) => Promise<SealedMemory>) | undefined;
  /** Makes the disks of templates and of their clones; undefined = they have none. */
  readonly images?: LayerImages | undefined;
  /** What makes a VMM forkable (native/fork), to be preloaded; undefined = clones are never forks. */
  readonly forkLibrary?: string | undefined;
}

interface Ready {
  readonly launcher: Launcher;
  readonly version: string;
  readonly acceleration: Acceleration;
}

export class QemuDriver implements VmmDriver {
  readonly name = "qemu";
  readonly templates: QemuTemplates | undefined;
  private readonly options: QemuDriverOptions;
  private ready: Promise<Ready> | undefined;

  constructor(options: QemuDriverOptions) {
    this.options = options;
    const { sealMemory, images, ownUser, forkLibrary } = options;
    if (sealMemory === undefined) return;
    const prepared = (signal?: AbortSignal): Promise<Ready> => this.prepared(signal);
    const forks =
      forkLibrary === undefined ? undefined : new VmForks({ library: forkLibrary, images, prepared });
    this.templates = new QemuTemplates({ prepared, sealMemory, images, user: ownUser, forks });
  }

  async probe(
    signal?: AbortSignal,
  ): Promise<{ readonly version: string; readonly acceleration: Acceleration }> {
    const { version, acceleration } = await this.prepared(signal);
    return { version, acceleration };
  }

  async launch(spec: VmSpec, signal?: AbortSignal): Promise<Vm> {
    const { template } = spec;
    if (template !== undefined) return this.clone(spec, template, signal);
    const { launcher, acceleration } = await this.prepared(signal);
    return launchVm(launcher, spec, acceleration, signal);
  }

  private clone(spec: VmSpec, template: string, signal: AbortSignal | undefined): Promise<Vm> {
    if (this.templates !== undefined) return this.templates.clone(spec, template, signal);
    throw blazarError("Unimplemented", "clone a VM", "this driver was set up without templates", {
      subject: spec.id,
    });
  }

  /** Prepares once, for all who ask; a failure is forgotten, since an operator may mend it. */
  private prepared(signal: AbortSignal | undefined): Promise<Ready> {
    this.ready ??= this.prepare().catch((error: unknown) => {
      this.ready = undefined;
      throw error;
    });
    return abortable("prepare QEMU", this.ready, signal);
  }

  private async prepare(): Promise<Ready> {
    const { keeper, kernel, initramfs, deadlines, logger } = this.options;
    const binary = await locateBinary(this.options.binary);
    const version = await binaryVersion(binary);
    await Promise.all([kernel, initramfs].map(checkImage));
    const tscKhz = await readTscKhz();
    const launcher: Launcher = {
      keeper,
      binary,
      kernel,
      initramfs,
      tscKhz,
      facts: await hostFacts(),
      launchMs: deadlines.launch,
      deadlines: { commandMs: COMMAND_MS, detachMs: DETACH_MS, exitMs: deadlines.vmmExit },
      logger,
    };
    const acceleration = await this.accelerate(launcher, version);
    if (acceleration === "tcg" && tscKhz === undefined) {
      logger.warn({}, "the host's TSC frequency is not known: emulated guests may hang while they boot");
    }
    logger.info({ binary, version, acceleration, tscKhz }, "QEMU is ready");
    return { launcher, version, acceleration };
  }

  private accelerate(launcher: Launcher, version: string): Promise<Acceleration> {
    const { acceleration, cacheDirectory, logger, kernel, initramfs, ownUser } = this.options;
    return chooseAcceleration({
      choice: acceleration,
      version,
      images: [kernel, initramfs],
      cacheDirectory,
      logger,
      bootWithKvm: () => bootOnce((spec) => launchVm(launcher, spec, "kvm"), PROBE_MS, ownUser),
    });
  }
}

async function checkImage(path: string): Promise<void> {
  try {
    if ((await stat(path)).isFile()) return;
  } catch (cause) {
    throw missingImage(path, reasonOf(cause), cause);
  }
  throw missingImage(path, "it is not a file");
}

function missingImage(path: string, reason: string, cause?: unknown): BlazarError {
  return blazarError("DependencyMissing", "find the guest's kernel and initramfs", reason, {
    subject: path,
    remedy: "run: npm run setup",
    cause,
  });
}

async function hostFacts(): Promise<HostFacts> {
  const limits = await readFile("/proc/self/limits", "latin1").catch(() => "");
  const hard = /^Max open files\s+\S+\s+(\d+)/m.exec(limits)?.[1];
  const kvm = await stat("/dev/kvm").catch(() => undefined);
  return {
    maxOpenFiles: hard === undefined ? undefined : Math.min(Number(hard), OPEN_FILES),
    kvmGroup: kvm?.gid,
  };
}
