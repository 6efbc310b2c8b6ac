/**
 * The port to snapshots, on containerd's gRPC socket: events, labels and leases put together.
 */
import type { Deadlines } from "../../contracts/deadlines.ts";
import type { Logger } from "../../contracts/logger.ts";
import type { Chain, OpenChain, Snapshots, UnpackedChain } from "../../contracts/snapshots.ts";
import { SnapshotChanges } from "./changes.ts";
import { ContainerdConnection } from "./connection.ts";
import { chainOfImage, listChains } from "./image-chains.ts";
import { ChainViews } from "./views.ts";

export interface SnapshotsOptions {
  /** containerd's gRPC socket, an absolute path. */
  readonly socket: string;
  /** CRI's is `k8s.io`. */
  readonly namespace: string;
  readonly deadlines: Pick<Deadlines, "containerdCall">;
  /** Layers that were opened are let go after so long, whatever happens. */
  readonly expiryMs: number;
  readonly logger: Logger;
  readonly now: () => number;
  readonly randomHex: (bytes: number) => string;
}

/**
 * @example
 * const snapshots = new ContainerdSnapshots({ socket: "/run/containerd/containerd.sock", namespace: "k8s.io", … });
 * const chain = await snapshots.ofImage("docker.io/library/busybox:latest", "overlayfs");
 * const { mounts, release } = await snapshots.open(chain);
 */
export class ContainerdSnapshots implements Snapshots {
  readonly changes: SnapshotChanges;
  private readonly connection: ContainerdConnection;
  private readonly views: ChainViews;

  constructor(options: SnapshotsOptions) {
    this.connection = new ContainerdConnection(options);
    this.changes = new SnapshotChanges({ ...options, connection: this.connection });
    this.views = new ChainViews({ ...options, connection: this.connection });
  }

  list(snapshotter: string, signal?: AbortSignal): Promise<UnpackedChain[]> {
    return listChains(this.connection, snapshotter, signal);
  }

  ofImage(reference: string, snapshotter: string, signal?: AbortSignal): Promise<Chain> {
    return chainOfImage(this.connection, reference, snapshotter, signal);
  }

  open(chain: Chain, signal?: AbortSignal): Promise<OpenChain> {
    return this.views.view(chain, signal);
  }

  tidy(signal?: AbortSignal): Promise<void> {
    return this.views.tidy(signal);
  }

  close(): void {
    this.changes.close();
    this.connection.close();
  }
}
