/**
 * Volumes that are only in the guest: files that begin as the host's, and tmpfs.
 */
import { reasonOf } from "../../../contracts/errors.ts";
import type { FileVolume, MemoryVolume } from "../../../contracts/volumes.ts";
import type { VolumePart } from "../../../protocol/guest/messages.ts";
import { unlessGone } from "../../unless-gone.ts";
import type { HeldVolume, MountSource, VolumeOwnerVm, VolumePorts } from "./held-volume.ts";
import { directoryPart, partsOf, type VolumeContent } from "./requests.ts";

/** A file. Each container that comes brings the host's present content, as kubelet writes it anew for each. */
export class CopiedFile implements HeldVolume<FileVolume> {
  readonly endsWithLastUser = true;
  private content: VolumeContent | undefined;
  private version = "";
  /** The guest may have it. */
  private isOffered = false;

  constructor(
    readonly name: string,
    private readonly plan: FileVolume,
    private readonly vm: VolumeOwnerVm,
    private readonly ports: VolumePorts,
  ) {}

  /** Whether the host gets it back. */
  get isReturned(): boolean {
    return this.plan.writtenBack;
  }

  take({ entry }: FileVolume): MountSource {
    if (entry.version !== this.version) this.content = { name: this.name, parts: partsOf(entry) };
    this.version = entry.version;
    return { type: "volume", source: this.name };
  }

  async ready(): Promise<void> {
    await Promise.resolve();
  }

  unsent(): VolumeContent | undefined {
    const { content } = this;
    this.isOffered ||= content !== undefined;
    this.content = undefined;
    return content;
  }

  unwritten(content: VolumeContent): void {
    this.content ??= content;
  }

  sent(): void {
    // there is nothing to remember
  }

  /** Writes what its container has left to the host's file. Never rejects. */
  async writeBack(content: string): Promise<void> {
    const { source, writtenBack } = this.plan;
    if (!writtenBack) return;
    try {
      await this.ports.volumes.writeBack(source, Buffer.from(content, "base64"));
    } catch (error) {
      this.vm.logger.warn(
        { volume: source, reason: reasonOf(error) },
        "a container's file could not be written back",
      );
    }
  }

  async end(): Promise<void> {
    if (!this.isOffered || !this.vm.alive) return;
    const deadlineMs = this.ports.deadlines.guestRequest;
    await this.vm.liveLink.request("volume.remove", { names: [this.name] }, { deadlineMs }).catch(unlessGone);
  }

  abandon(): void {
    this.content = undefined;
  }
}

/** A tmpfs. It stays when its last container ends: the pod's next one finds what was written. */
export class Memory implements HeldVolume<MemoryVolume> {
  readonly endsWithLastUser = false;
  private parts: VolumePart[];
  private readonly paths = new Set<string>();

  constructor(
    readonly name: string,
    private readonly plan: MemoryVolume,
  ) {
    this.parts = [directoryPart("", plan.root)];
  }

  take({ path, owner }: MemoryVolume): MountSource {
    if (path === "") return { type: "volume", source: this.name };
    if (!this.paths.has(path)) this.parts.push(...directoriesTo(path, owner));
    this.paths.add(path);
    return { type: "volume", source: `${this.name}/${path}` };
  }

  async ready(): Promise<void> {
    await Promise.resolve();
  }

  unsent(): VolumeContent | undefined {
    const { name, parts, plan } = this;
    this.parts = [];
    return parts.length === 0 ? undefined : { name, bytes: plan.bytes, parts };
  }

  unwritten({ parts }: VolumeContent): void {
    this.parts = [...parts, ...this.parts];
  }

  sent(): void {
    // there is nothing to remember
  }

  async end(): Promise<void> {
    await Promise.resolve();
  }

  abandon(): void {
    this.parts = [];
  }
}

/** The directories on the way have the owner of the last, as kubelet makes them. */
function directoriesTo(path: string, owner: MemoryVolume["owner"]): VolumePart[] {
  const names = path.split("/");
  return names.map((_, index) => directoryPart(names.slice(0, index + 1).join("/"), owner));
}
