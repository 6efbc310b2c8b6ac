/** containerd's OCI images and snapshots, in memory: the port of contracts/snapshots.ts for tests. */
import { blazarError } from "../../src/contracts/errors.ts";
import type { EventObserver } from "../../src/contracts/event-source.ts";
import type {
  Chain,
  OpenChain,
  SnapshotChange,
  Snapshots,
  UnpackedChain,
} from "../../src/contracts/snapshots.ts";

export class FakeSnapshots implements Snapshots {
  /** By the chain's name. */
  readonly unpacked = new Map<string, UnpackedChain>();
  /** By the full name of an OCI image. */
  readonly images = new Map<string, string>();
  /** Names of chains that somebody keeps now. */
  readonly opened: string[] = [];
  tidied = 0;
  closed = false;
  /** What the next calls throw. */
  readonly faults: { list?: Error | undefined; open?: Error | undefined } = {};
  private readonly observers = new Set<EventObserver<SnapshotChange>>();

  readonly changes = {
    subscribe: (observer: EventObserver<SnapshotChange>) => {
      this.observers.add(observer);
      return { unsubscribe: () => void this.observers.delete(observer) };
    },
  };

  get subscribers(): number {
    return this.observers.size;
  }

  emit(change: SnapshotChange): void {
    for (const observer of this.observers) observer.next(change);
  }

  /** An OCI image has been unpacked: as containerd does, its layers' commits are told, its top is not. */
  unpack(name: string, unpackedAt: Date, layers = 1): void {
    for (let layer = 0; layer < layers; layer++) this.emit("layer");
    this.unpacked.set(name, { snapshotter: "overlayfs", name, unpackedAt });
  }

  async list(): Promise<readonly UnpackedChain[]> {
    if (this.faults.list !== undefined) throw this.faults.list;
    return [...this.unpacked.values()];
  }

  async ofImage(reference: string, snapshotter: string): Promise<Chain> {
    const name = this.images.get(reference);
    if (name === undefined)
      throw blazarError("RemoteNotFound", "find an OCI image", "none", { subject: reference });
    return { snapshotter, name };
  }

  async open(chain: Chain): Promise<OpenChain> {
    if (this.faults.open !== undefined) throw this.faults.open;
    if (!this.unpacked.has(chain.name)) throw blazarError("RemoteNotFound", "open a chain", "it is gone");
    this.opened.push(chain.name);
    const mounts = [{ type: "bind", source: `/layers/${chain.name}`, target: "", options: ["ro", "rbind"] }];
    let held = true;
    const release = async () => {
      if (held) this.opened.splice(this.opened.indexOf(chain.name), 1);
      held = false;
    };
    return { mounts, release };
  }

  async tidy(): Promise<void> {
    this.tidied++;
  }

  close(): void {
    this.closed = true;
  }
}
