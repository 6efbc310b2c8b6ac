/**
 * Volumes that are only in the guest: files that begin as the host's, and tmpfs.
 */
import { reasonOf } from "../../../contracts/errors.ts";
import type { FileVolume, MemoryVolume } from "../../../contracts/volumes.ts";
import type { VolumePart } from "../../../protocol/guest/volumes.ts";
import type { VolumeFact } from "../../resources/facts.ts";
import { HeldVolume, type MountSource, type VolumeOwnerVm, type VolumePorts } from "./held-volume.ts";
import { directoryPart, partsOf, type VolumeContent } from "./requests.ts";
import { WrittenVolume } from "./written-volume.ts";

/** A file. Each container that comes brings the host's present content, as kubelet writes it anew for each. */
export class CopiedFile extends WrittenVolume<FileVolume> {
  /** @param version of what an earlier daemon has sent; "" = nothing has been sent */
  constructor(
    name: string,
    private readonly plan: Pick<FileVolume, "key" | "source" | "writtenBack">,
    private version: string,
    vm: VolumeOwnerVm,
    ports: VolumePorts,
  ) {
    super(name, plan.key, vm, ports, version !== "");
  }

  protected override get fact(): VolumeFact {
    const { key, source, writtenBack } = this.plan;
    return { kind: "file", key, source, version: this.version, writtenBack };
  }

  /** Whether the host gets it back. */
  get isReturned(): boolean {
    return this.plan.writtenBack;
  }

  override take(plan: FileVolume): MountSource {
    const { entry } = plan;
    if (entry.version !== this.version) this.content = { name: this.name, parts: partsOf(entry) };
    this.version = entry.version;
    return super.take(plan);
  }

  /** Writes what its container has left to the host's file. Never rejects. */
  async writeBack(content: string): Promise<void> {
    const { source, writtenBack } = this.plan;
    if (!writtenBack) return;
    try {
      await this.ports.volumes.writeBack(source, this.version, Buffer.from(content, "base64"));
    } catch (error) {
      this.vm.logger.warn(
        { volume: source, reason: reasonOf(error) },
        "a container's file could not be written back",
      );
    }
  }
}

/** A tmpfs. It stays when its last container ends: the pod's next one finds what was written. */
export class Memory extends HeldVolume<MemoryVolume> {
  override readonly endsWithLastUser = false;
  private parts: VolumePart[];
  private readonly paths: Set<string>;

  /** @param there directories of one that an earlier daemon has made */
  constructor(
    name: string,
    private readonly plan: Pick<MemoryVolume, "key" | "bytes"> & Partial<Pick<MemoryVolume, "root">>,
    vm: VolumeOwnerVm,
    there?: readonly string[],
  ) {
    super(name, plan.key, vm);
    this.paths = new Set(there);
    this.parts = plan.root === undefined ? [] : [directoryPart("", plan.root)];
    if (there !== undefined) this.remembered();
  }

  protected override get fact(): VolumeFact {
    const { key, bytes } = this.plan;
    return { kind: "memory", key, bytes, paths: [...this.paths] };
  }

  take({ path, owner }: MemoryVolume): MountSource {
    if (path === "") return { type: "volume", source: this.name };
    if (!this.paths.has(path)) this.parts.push(...directoriesTo(path, owner));
    this.paths.add(path);
    return { type: "volume", source: `${this.name}/${path}` };
  }

  override unsent(): VolumeContent | undefined {
    const { name, parts, plan } = this;
    this.parts = [];
    return parts.length === 0 ? undefined : { name, bytes: plan.bytes, parts };
  }

  override unwritten({ parts }: VolumeContent): void {
    this.parts = [...parts, ...this.parts];
  }

  override abandon(): void {
    this.parts = [];
  }
}

/** The directories on the way have the owner of the last, as kubelet makes them. */
function directoriesTo(path: string, owner: MemoryVolume["owner"]): VolumePart[] {
  const names = path.split("/");
  return names.map((_, index) => directoryPart(names.slice(0, index + 1).join("/"), owner));
}
