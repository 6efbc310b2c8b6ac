/**
 * Templates of QEMU guests, and clones of them.
 *
 * A clone must not be able to change its template. So clones get a sealed copy of its memory (memfd_create(2), F_SEAL_WRITE),
 * loaded once and kept until {@link QemuTemplates.forget}. Without the library that is preloaded, a QEMU of 8.2 or later opens the
 * template's file read-only instead; such clones give no memory back. It does not know where templates are kept.
 */
import type { LayerImages } from "../../../contracts/storage.ts";
import type { BuildStep } from "../../../contracts/templates.ts";
import type { Vm, VmDisk, VmShape, VmSpec } from "../../../contracts/vm.ts";
import type { TemplateDriver, TemplateIdentity } from "../../../contracts/vmm.ts";
import { buildTemplate, type TemplateBuilder } from "../../common/templates/build.ts";
import {
  blame,
  type CloneSource,
  checkCurrent,
  launchClone,
  TEMPLATE_DISK,
} from "../../common/templates/clones.ts";
import { checkTemplate, type TemplateManifest, templatePaths } from "../../common/templates/files.ts";
import { FileHashes } from "../../common/templates/fingerprints.ts";
import { type Loaded, LoadedTemplates } from "../../common/templates/loaded.ts";
import { opensMemoryReadOnly } from "../binary.ts";
import { type Launcher, launchVm } from "../launch.ts";
import { type Extra, type MemorySource, preload } from "../process.ts";
import type { QemuVm } from "../vm.ts";
import { identifyTemplate } from "./identity.ts";
import { saveState } from "./state.ts";

/** A file that nobody can write to, and that other processes of this user can open. */
export interface SealedMemory {
  readonly path: string;
  close(): Promise<void>;
}

export interface QemuTemplatesOptions {
  readonly prepared: (signal?: AbortSignal) => Promise<Launcher>;
  /** Copies a file into memory and seals it. */
  readonly sealMemory: (file: string) => Promise<SealedMemory>;
  /** Makes the disks of templates and of their clones; undefined = they have none. */
  readonly images: LayerImages | undefined;
  /** Whom a template's VM runs as. */
  readonly user: VmSpec["user"];
  /** What is preloaded into clones of sealed memory (native/fork); undefined = what they write counts twice. */
  readonly library?: string | undefined;
}

/** A clone that runs. */
export interface Clone {
  readonly vm: QemuVm;
  readonly launcher: Launcher;
  /** Its own copy of the template's disk; undefined = templates have none. */
  readonly disk: VmDisk | undefined;
}

interface LoadedTemplate extends Loaded {
  readonly manifest: TemplateManifest;
  readonly memory: MemorySource & { readonly kind: "cloned" };
}

export class QemuTemplates implements TemplateDriver {
  private readonly hashes = new FileHashes();
  private readonly loaded = new LoadedTemplates((directory) => this.load(directory));

  constructor(private readonly options: QemuTemplatesOptions) {}

  get diskId(): string | undefined {
    return this.options.images && TEMPLATE_DISK;
  }

  async identify(shape: VmShape, signal?: AbortSignal): Promise<TemplateIdentity> {
    return this.identityOf(await this.options.prepared(signal), shape);
  }

  async build(
    shape: VmShape,
    directory: string,
    ready: (vm: Vm, signal: AbortSignal) => Promise<void>,
    signal: AbortSignal,
  ): Promise<BuildStep[]> {
    const { user, images, prepared } = this.options;
    const launcher = await prepared(signal);
    const identity = await this.identityOf(launcher, shape);
    const build = { identity, shape, directory, user, images, ready, signal };
    return buildTemplate(build, builder(launcher, signal));
  }

  async verify(directory: string, deep: boolean): Promise<void> {
    await checkTemplate(directory, deep);
  }

  forget(directory: string): Promise<void> {
    return this.loaded.forget(directory);
  }

  /** Launches a VM as a clone. Throws TemplateNotFound, TemplateBroken, and what a launch throws. */
  async clone(spec: VmSpec, source: CloneSource, signal?: AbortSignal, extra?: Extra): Promise<Clone> {
    const { template } = source;
    const { images, prepared, library } = this.options;
    try {
      return await this.loaded.use(template, signal, async ({ manifest, memory }) => {
        const launcher = await prepared(signal);
        const preloaded =
          memory.protection === "sealed" && library !== undefined ? preload(library) : undefined;
        return launchClone({ spec, source, manifest, images }, async (disk) => {
          const vm = await launchVm(launcher, spec, signal, { ...memory, disk }, extra ?? preloaded);
          return { vm, launcher, disk };
        });
      });
    } catch (error) {
      throw await blame(error, template);
    }
  }

  private identityOf(launcher: Launcher, shape: VmShape): Promise<TemplateIdentity> {
    return identifyTemplate(launcher, shape, this.hashes, this.options.images);
  }

  private async load(directory: string): Promise<LoadedTemplate> {
    const manifest = await checkTemplate(directory, false);
    const launcher = await this.options.prepared();
    checkCurrent(directory, manifest, await this.identityOf(launcher, manifest));
    const { memory: file, state } = templatePaths(directory);
    // QEMU gives no memory of a read-only file back (ram_block_discard_range), and the library knows how with a sealed one
    if (this.options.library === undefined && opensMemoryReadOnly(launcher.version)) {
      const memory = { kind: "cloned", memory: file, state, protection: "readonly" } as const;
      return { manifest, memory, close: () => Promise.resolve() };
    }
    const sealed = await this.options.sealMemory(file);
    const memory = { kind: "cloned", memory: sealed.path, state, protection: "sealed" } as const;
    return { manifest, memory, close: () => sealed.close() };
  }
}

function builder(launcher: Launcher, signal: AbortSignal): TemplateBuilder<QemuVm> {
  return {
    boot: (spec, memory, disk) => launchVm(launcher, spec, signal, { kind: "saved", memory, disk }),
    save: (vm, file) => {
      const { commandMs } = launcher.deadlines;
      return vm.control("save the VM", (qmp) => saveState(qmp, { file, signal, commandMs }));
    },
  };
}
