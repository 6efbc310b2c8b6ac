/**
 * Volumes that are only in the guest: files that begin as the host's, and tmpfs.
 */
import { reasonOf } from "../../../contracts/errors.ts";
import type { FileVolume, MemoryVolume } from "../../../contracts/volumes.ts";
import type { VolumePart } from "../../../protocol/guest/volumes.ts";
import { HeldVolume, type MountSource, type VolumeOwnerVm, type VolumePorts } from "./held-volume.ts";
import { directoryPart, partsOf, type VolumeContent } from "./requests.ts";
import { WrittenVolume } from "./written-volume.ts";

/** A file. Each container that comes brings the host's present content, as kubelet writes it anew for each. */
export class CopiedFile extends WrittenVolume<FileVolume> {
  private version = "";

  constructor(
    name: string,
    private readonly plan: FileVolume,
    vm: VolumeOwnerVm,
    ports: VolumePorts,
  ) {
    super(name, vm, ports);
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
  private readonly paths = new Set<string>();

  constructor(
    name: string,
    private readonly plan: MemoryVolume,
  ) {
    super(name);
    this.parts = [directoryPart("", plan.root)];
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
