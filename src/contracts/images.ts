/**
 * The port to the store of images: the read-only layers of containers, each chain of layers as one EROFS disk.
 *
 * A chain is a container's `lowerdir`s in overlayfs order, the topmost first; its image holds what an overlay of them
 * shows. The store decides which images are kept, where and for how long. An image that is missing, cannot be made or
 * is too large costs a start nothing but speed: the caller then takes the share.
 */

/**
 * The apparent size of an image file, and of the placeholder in a VM's slots, so that a slot's size never changes. The
 * files are sparse. A chain that does not fit has no image.
 */
export const SLOT_BYTES = 64 * 2 ** 30;

/** A whole image on disk. */
export interface LayerImage {
  /** Names the chain's content: 64 hexadecimal digits. Two chains with one key hold the same files. */
  readonly key: string;
  /** Absolute path of the EROFS file, which has {@link SLOT_BYTES} and never changes. */
  readonly path: string;
  /** Allocated on disk. */
  readonly bytes: number;
  /** The chain that it was made of, the topmost layer first; the directories may be gone. */
  readonly lower: readonly string[];
  readonly createdAt: Date;
  readonly lastUsedAt: Date;
  /** The ids of those that have a lease on it, in any process. */
  readonly holders: readonly string[];
}

/** Holds an image: as long as a lease is out, the image is not dropped. It outlives the process that took it. */
export interface ImageLease {
  readonly image: LayerImage;
  /** Gives it back; idempotent. The same as {@link ImageStore.release} with the image's key and the lease's holder. */
  release(): Promise<void>;
}

export interface ImageStore {
  /**
   * The image of this chain for a holder (the id of a container, or of a VM), or undefined: then the caller uses the share, and the image is
   * made behind. Waits at most `image.inline_limit` for an image that is made meanwhile. Taking a lease twice for one
   * holder is one lease. Never throws but for an abort.
   * @throws BlazarError Cancelled; the image is then made behind, and no lease is left
   */
  use(lower: readonly string[], holder: string, signal?: AbortSignal): Promise<ImageLease | undefined>;
  /**
   * A lease on an image that is there; undefined if it is not, or cannot be used. Nothing is made. Taking a lease twice for
   * one holder is one lease. Never throws.
   */
  hold(key: string, holder: string): Promise<ImageLease | undefined>;
  /** Gives back what a holder has, also one of an earlier daemon. Idempotent, also for an image that is gone. */
  release(key: string, holder: string): Promise<void>;
  /** What daemons with the same state directory have leases on, by key and holder. */
  held(): Promise<readonly { readonly key: string; readonly holder: string }[]>;
  /**
   * Gives back what earlier daemons with the same state directory have left, but for what these holders have. Called before
   * the first {@link use}. Returns who had it.
   */
  releaseLost(holders: ReadonlySet<string>): Promise<readonly string[]>;
  /**
   * Makes the image of this chain unless it is there. Joins a build under way; one that nobody waits for any more ends.
   * @throws BlazarError Cancelled, InvalidRootfs (layers that cannot be read or change meanwhile), ResourceExhausted (image.disk_limit, a full
   *   disk), StorageFailed, DependencyMissing (no mkfs.erofs), Unimplemented (image.enabled = false)
   */
  prepare(lower: readonly string[], signal?: AbortSignal): Promise<LayerImage>;
  /** The keys of all images, broken ones too, in no order. @throws BlazarError HostResource (the directory) */
  keys(): Promise<readonly string[]>;
  /** All whole images, the last used first. */
  list(): Promise<readonly LayerImage[]>;
  /** @throws BlazarError ImageNotFound, ImageInUse (by a holder in any process) */
  remove(key: string): Promise<void>;
  /** Reads all of it and compares it with what was made. @throws BlazarError ImageNotFound, ImageBroken */
  verify(key: string): Promise<void>;
  /** Ends builds. Leases stay: their holders may run on. */
  close(): Promise<void>;
}
