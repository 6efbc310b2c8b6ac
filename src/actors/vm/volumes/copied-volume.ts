/**
 * A directory that the guest has a copy of, which follows the host's for as long as a container has it.
 *
 * A change of the host's directory has it read again, and the guest is sent what is different. Changes that come while one is
 * under way are one more. A copy that cannot be brought up to date stays as it is, and that is told once.
 */
import type { UserNamespaceMaps } from "../../../contracts/id-maps.ts";
import type { CopiedVolume, VolumeEntry, VolumeWatch } from "../../../contracts/volumes.ts";
import { isSameFile } from "../../../lib/file-version.ts";
import type { VolumePart } from "../../../protocol/guest/volumes.ts";
import type { CopiedEntry, VolumeFact } from "../../resources/facts.ts";
import { changesBetween, type KnownEntry, known } from "./changes.ts";
import type { VolumeOwnerVm, VolumePorts } from "./held-volume.ts";
import { mappedOwner } from "./mapped-plan.ts";
import { partsOf, writesOf } from "./requests.ts";
import { WrittenVolume } from "./written-volume.ts";

/** kubelet makes several changes at once. */
const SETTLE_MS = 10;
/** So many looks in a row; after them, one each so often. */
const MOST_LOOKS = 10;
const LOOK_EACH_MS = 1_000;

/** A copy to begin with. */
export interface FirstCopy extends Pick<CopiedVolume, "key" | "source" | "followed"> {
  /** What the guest has, or will have. */
  readonly entries: readonly KnownEntry[];
  /** What it is to be sent; undefined: it has all of it. */
  readonly parts: readonly VolumePart[] | undefined;
}

export function newCopy({ key, source, followed, entries }: CopiedVolume): FirstCopy {
  return { key, source, followed, entries: known(entries), parts: entries.flatMap(partsOf) };
}

/** One that an earlier daemon has sent. */
export function earlierCopy({
  key,
  source,
  entries,
}: Pick<VolumeFact & { readonly kind: "copied" }, "key" | "source" | "entries">): FirstCopy {
  const owned = (entries ?? []).map(([path, type, mode, uid, gid, version]) => ({
    ...{ path, type, mode, uid, gid, version },
    mtimeMs: 0,
    content: undefined,
  }));
  return { key, source, followed: entries !== undefined, entries: owned, parts: undefined };
}

export class Copied extends WrittenVolume<CopiedVolume> {
  private readonly first: Pick<FirstCopy, "key" | "source" | "followed">;
  /** The directory's version when the guest got its first copy. */
  private readonly root: string;
  /** What the guest has. */
  private entries: readonly KnownEntry[];
  private watch: VolumeWatch | undefined;
  private isSent: boolean;
  private stale = false;
  private told = false;
  private refreshing: Promise<void> | undefined;
  private ended = false;

  private looks = MOST_LOOKS;
  private countedAt = performance.now();

  constructor(
    name: string,
    { entries, parts, ...first }: FirstCopy,
    /** Of an idmapped one. */
    private readonly maps: UserNamespaceMaps | undefined,
    vm: VolumeOwnerVm,
    ports: VolumePorts,
  ) {
    super(name, first.key, vm, ports, parts === undefined);
    this.first = first;
    this.isSent = parts === undefined;
    this.content = parts && { name, parts };
    this.entries = entries;
    this.root = entries[0]?.version ?? "";
    if (!first.followed) return;
    this.watch = ports.volumes.watch(first.source, this.root, {
      changed: () => this.changed(),
      blind: (error) => this.tell(error),
    });
  }

  protected override get fact(): VolumeFact {
    const { key, source, followed } = this.first;
    const entries = followed
      ? this.entries.map(({ path, type, mode, uid, gid, version }): CopiedEntry => {
          return [path, type, mode, uid, gid, version];
        })
      : undefined;
    return { kind: "copied", key, source, entries, maps: this.maps };
  }

  override sent(): void {
    super.sent();
    this.isSent = true;
    if (this.stale) this.changed();
  }

  override async end(): Promise<void> {
    this.abandon();
    await this.refreshing;
    await super.end();
  }

  override abandon(): void {
    this.ended = true;
    this.watch?.close();
    this.watch = undefined;
  }

  private changed(): void {
    this.stale = true;
    if (!this.isSent || this.ended) return;
    this.refreshing ??= this.refreshAll().finally(() => {
      this.refreshing = undefined;
    });
  }

  private async refreshAll(): Promise<void> {
    while (this.stale && !this.ended && this.vm.alive) {
      await new Promise((resolve) => setTimeout(resolve, this.waitMs()));
      this.stale = false;
      try {
        await this.refresh();
      } catch (error) {
        if (!this.ended && this.vm.alive) this.tell(error);
        return;
      }
    }
  }

  /** Until the next look: what changes all the time is looked at once a second. */
  private waitMs(): number {
    const now = performance.now();
    this.looks = Math.min(MOST_LOOKS, this.looks + (now - this.countedAt) / LOOK_EACH_MS);
    this.countedAt = now;
    this.looks--;
    return this.looks >= 0 ? SETTLE_MS : -this.looks * LOOK_EACH_MS;
  }

  private async refresh(): Promise<void> {
    const read = await this.ports.volumes.read(this.first.source);
    if (this.ended) return;
    if (read === undefined) return this.tell(undefined);
    // unmounted, or made anew: a bind would go on showing what it has been bound to
    if (!isSameFile(read[0]?.version ?? "", this.root)) return this.tell(undefined);
    const entries = read.map((entry) => mappedOwner(entry, this.maps));
    await this.send(entries);
    this.entries = known(entries);
    this.remember();
  }

  private async send(entries: readonly VolumeEntry[]): Promise<void> {
    const { name } = this;
    const { cleared, written, renames, removed } = changesBetween(this.entries, entries);
    const link = this.vm.liveLink;
    const limits = { deadlineMs: this.ports.deadlines.guestRequest };
    const swap = (params: { renames: { from: string; to: string }[]; removed: string[] }) =>
      link.request("volume.swap", { name, ...params }, limits);
    const requests: Promise<unknown>[] = [];
    if (cleared.length > 0) requests.push(swap({ renames: [], removed: [...cleared] }));
    for (const write of writesOf([{ name, parts: written.flatMap(partsOf) }]))
      requests.push(link.request("volume.write", write, limits));
    if (renames.length + removed.length > 0)
      requests.push(swap({ renames: [...renames], removed: [...removed] }));
    await Promise.all(requests);
  }

  private tell(error: unknown): void {
    if (this.told) return;
    this.told = true;
    const { source } = this.first;
    this.vm.logger.warn(
      { err: error, volume: source },
      "a volume's copy in the guest does not follow the host's any more",
    );
  }
}
