/**
 * Templates of QEMU guests, and clones of them.
 *
 * A clone must not be able to change its template. From 8.2 on QEMU opens the template's memory read-only; an older
 * one can open it only for writing, so that its clones get a sealed copy in memory (memfd_create(2), F_SEAL_WRITE),
 * loaded once and kept until {@link QemuTemplates.forget}. It does not know where templates are kept.
 */
import { rm } from "node:fs/promises";
import { BlazarError, blazarError } from "../../../contracts/errors.ts";
import type { LayerImages } from "../../../contracts/storage.ts";
import type { Vm, VmDisk, VmShape, VmSource, VmSpec } from "../../../contracts/vm.ts";
import type { TemplateDriver, TemplateIdentity } from "../../../contracts/vmm.ts";
import { abortable } from "../../../lib/async.ts";
import {
  checkTemplate,
  type TemplateManifest,
  templateError,
  templatePaths,
} from "../../common/template-files.ts";
import { type Launcher, launchVm } from "../launch.ts";
import type { Extra, MemorySource } from "../process.ts";
import type { QemuVm } from "../vm.ts";
import { type BuildStep, buildTemplate } from "./build.ts";
import { FileHashes, fileStamp, identifyTemplate, TEMPLATE_DISK } from "./identity.ts";

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
}

/** A clone that runs. */
export interface Clone {
  readonly vm: QemuVm;
  readonly launcher: Launcher;
  /** Its own copy of the template's disk; undefined = templates have none. */
  readonly disk: VmDisk | undefined;
}

/** Where a clone comes from. */
export type CloneSource = VmSource & { readonly kind: "clone" };

type ClonedMemory = MemorySource & { readonly kind: "cloned" };

/** A template that clones can be made of. */
interface Loaded {
  readonly manifest: TemplateManifest;
  readonly memory: ClonedMemory;
  readonly close: () => Promise<void>;
}

interface Entry {
  /** Of the manifest. */
  readonly stamp: string;
  readonly loaded: Promise<Loaded>;
  /** Launches that have not opened it yet. */
  users: number;
  forgotten: boolean;
}

export class QemuTemplates implements TemplateDriver {
  private readonly options: QemuTemplatesOptions;
  private readonly hashes = new FileHashes();
  private readonly entries = new Map<string, Entry>();

  constructor(options: QemuTemplatesOptions) {
    this.options = options;
  }

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
    return buildTemplate({ launcher, identity, shape, directory, user, images, ready, signal });
  }

  async verify(directory: string, deep: boolean): Promise<void> {
    await checkTemplate(directory, deep);
  }

  async forget(directory: string): Promise<void> {
    const entry = this.entries.get(directory);
    if (entry === undefined) return;
    this.entries.delete(directory);
    entry.forgotten = true;
    await this.closeIfUnused(entry);
  }

  /** Launches a VM as a clone. Throws TemplateNotFound, TemplateBroken, and what a launch throws. */
  async clone(spec: VmSpec, source: CloneSource, signal?: AbortSignal, extra?: Extra): Promise<Clone> {
    const { template } = source;
    if (spec.shareDirectory === undefined) {
      throw blazarError("InvalidArgument", "clone a VM", "it has no share, and templates have one", {
        subject: spec.id,
      });
    }
    const entry = await this.acquire(template);
    try {
      const what = { operation: "load a template", subject: template };
      const { manifest, memory } = await abortable(entry.loaded, signal, what);
      checkShape(manifest, spec, template);
      const launcher = await this.options.prepared(signal);
      const disk = await this.copyDisk(manifest, spec, source);
      try {
        const vm = await launchVm(launcher, spec, signal, { ...memory, disk }, extra);
        return { vm, launcher, disk };
      } catch (error) {
        if (disk !== undefined) await rm(disk.path, { force: true });
        throw error;
      }
    } catch (error) {
      throw await blame(error, template);
    } finally {
      entry.users--;
      await this.closeIfUnused(entry);
    }
  }

  /** A clone's own, to which it writes; its template's is a file that no VMM opens. */
  private async copyDisk(
    manifest: TemplateManifest,
    { id, user }: VmSpec,
    { template, disk: path }: CloneSource,
  ): Promise<VmDisk | undefined> {
    const { images } = this.options;
    if (manifest.diskSha256 === undefined || images === undefined) return undefined;
    if (path === undefined) {
      const reason = "it has no place for its disk, and the template has one";
      throw blazarError("InvalidArgument", "clone a VM", reason, { subject: id });
    }
    await images.unpack(templatePaths(template).disk, path, user);
    return { id: TEMPLATE_DISK, path, readonly: false };
  }

  private identityOf(launcher: Launcher, shape: VmShape): Promise<TemplateIdentity> {
    return identifyTemplate(launcher, shape, this.hashes, this.options.images);
  }

  private async acquire(directory: string): Promise<Entry> {
    // another template may have taken the place of the one that was loaded
    const stamp = await fileStamp(templatePaths(directory).manifest).catch(() => "");
    const known = this.entries.get(directory);
    if (known?.stamp === stamp) {
      known.users++;
      return known;
    }
    const entry: Entry = { stamp, loaded: this.load(directory), users: 1, forgotten: false };
    if (known !== undefined) void this.forget(directory).catch(() => undefined);
    this.entries.set(directory, entry);
    entry.loaded.catch(() => {
      if (this.entries.get(directory) === entry) this.entries.delete(directory);
    });
    return entry;
  }

  private async load(directory: string): Promise<Loaded> {
    const manifest = await checkTemplate(directory, false);
    const launcher = await this.options.prepared();
    const current = await this.identityOf(launcher, manifest);
    if (current.key !== manifest.identity.key) {
      throw templateError("TemplateBroken", directory, `it is out of date: ${difference(manifest, current)}`);
    }
    const { memory: file, state } = templatePaths(directory);
    if (opensReadOnly(launcher.version)) {
      const memory = { kind: "cloned", memory: file, state, protection: "readonly" } as const;
      return { manifest, memory, close: () => Promise.resolve() };
    }
    const sealed = await this.options.sealMemory(file);
    const memory = { kind: "cloned", memory: sealed.path, state, protection: "sealed" } as const;
    return { manifest, memory, close: () => sealed.close() };
  }

  private async closeIfUnused(entry: Entry): Promise<void> {
    if (!entry.forgotten || entry.users > 0) return;
    const loaded = await entry.loaded.catch(() => undefined);
    await loaded?.close();
  }
}

/** `rom=off`, without which a private read-only mapping cannot be a guest's memory, came with 8.2. */
function opensReadOnly(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > 8 || (major === 8 && minor >= 2);
}

function checkShape(manifest: TemplateManifest, spec: VmSpec, template: string): void {
  if (manifest.vcpus === spec.vcpus && manifest.memoryBytes === spec.memoryBytes) return;
  throw blazarError(
    "InvalidArgument",
    "clone a VM",
    `the template ${template} has ${manifest.vcpus} processors and ${manifest.memoryBytes} bytes of memory`,
    { subject: spec.id },
  );
}

/** A clone that does not start may be its template's fault. */
async function blame(error: unknown, template: string): Promise<unknown> {
  if (!(error instanceof BlazarError)) return error;
  if (!["VmmFailed", "HostResource", "StorageFailed"].includes(error.code)) return error;
  try {
    await checkTemplate(template, false);
  } catch (damage) {
    return damage;
  }
  if (error.code !== "VmmFailed") return error;
  return templateError("TemplateBroken", template, error.details.reason, error);
}

function difference(manifest: TemplateManifest, current: TemplateIdentity): string {
  const names = Object.keys(current.parts).filter(
    (name) => current.parts[name] !== manifest.identity.parts[name],
  );
  return `${names.join(", ")} changed`;
}
