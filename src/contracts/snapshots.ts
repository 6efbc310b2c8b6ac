/**
 * The port to containerd's snapshots: which chains of layers belong to OCI images, and where their layers are.
 *
 * A chain is a committed snapshot together with all of its parents. The port changes nothing that others have made. What
 * it makes for itself is short-lived: containerd drops it by itself if this process dies.
 */
import type { EventSource } from "./event-source.ts";
import type { RootfsMount } from "./task.ts";

/** A chain of layers, named by its topmost snapshot. */
export interface Chain {
  /** `overlayfs`, `erofs`, … */
  readonly snapshotter: string;
  /** The snapshot's name: the digest that image-spec calls the ChainID. */
  readonly name: string;
}

/** A chain that is the top of an OCI image: it has all layers of that image. */
export interface UnpackedChain extends Chain {
  /** When containerd last noted it for an image; another pull of the image is another time. */
  readonly unpackedAt: Date;
}

/** What may have changed the answer of {@link Snapshots.list}. */
export type SnapshotChange =
  /** Changes are told from now on; what was before is unknown. At the start, and after each loss of containerd. */
  | "connected"
  /** A layer was committed; it need not be the top of an image. */
  | "layer"
  /** A name of an OCI image was made, changed or removed. */
  | "image";

/** A chain whose layers stay until it is released. */
export interface OpenChain {
  /** How the snapshotter would mount it, read-only. Nothing is mounted. */
  readonly mounts: readonly RootfsMount[];
  /** Lets the layers go. Idempotent. Never throws: what containerd does not take back now is tried again, and expires. */
  release(): Promise<void>;
}

/** All calls have a deadline. They throw RemoteUnavailable and DeadlineExceeded if containerd is away, and Cancelled. */
export interface Snapshots {
  /** Never ends by itself, and never errs: a loss of containerd is made up for. A subscription costs a connection. */
  readonly changes: EventSource<SnapshotChange>;
  /** The tops of all OCI images that are unpacked for a snapshotter, in no order. */
  list(snapshotter: string, signal?: AbortSignal): Promise<readonly UnpackedChain[]>;
  /**
   * The chain of an OCI image, by its full name.
   * @throws BlazarError RemoteNotFound (no such image), RemoteFailedPrecondition (it is not unpacked for the snapshotter)
   */
  ofImage(reference: string, snapshotter: string, signal?: AbortSignal): Promise<Chain>;
  /** Keeps the chain's layers from being removed. @throws BlazarError RemoteNotFound */
  open(chain: Chain, signal?: AbortSignal): Promise<OpenChain>;
  /** Gives back what processes that have ended held, and what could not be given back before. */
  tidy(signal?: AbortSignal): Promise<void>;
  /** Ends the connection and all subscriptions. */
  close(): void;
}
