/**
 * A store of images in memory: images are keys and nothing else. It passes test/support/conformance/images.ts.
 */
import { type BlazarError, blazarError } from "../../../src/contracts/errors.ts";
import {
  type ImageLease,
  type ImageStore,
  type LayerImage,
  SLOT_BYTES,
} from "../../../src/contracts/images.ts";
import { chainKey } from "../../../src/host/storage/images/chain-key.ts";
import { throwIfAborted } from "../../../src/lib/async.ts";

interface Kept {
  readonly lower: readonly string[];
  readonly createdAt: Date;
  lastUsedAt: number;
  /** With the state directory of the daemon that has taken it. */
  readonly holders: Map<string, string>;
}

/** What outlives a daemon: stores with the same disk have the same images. */
export class ImageDisk {
  readonly images = new Map<string, Kept>();
  uses = 0;
}

export interface MemoryImagesOptions {
  readonly disk?: ImageDisk;
  readonly stateDirectory?: string;
  /** The key of a chain; default: as the real store's, of real directories. */
  readonly identify?: (lower: readonly string[]) => Promise<string>;
  /** Whether `use` has an image made and waits for it; default: yes. False: it is made behind, at once. */
  readonly inLine?: () => boolean;
}

export class MemoryImages implements ImageStore {
  readonly disk: ImageDisk;
  /** Whether there is an image for whoever asks. */
  available = true;
  private readonly owner: string;
  /** Called when somebody holds an image by its key. */
  onHold: (() => void) | undefined;
  private readonly identify: (lower: readonly string[]) => Promise<string>;

  constructor(private readonly options: MemoryImagesOptions = {}) {
    this.disk = options.disk ?? new ImageDisk();
    this.owner = options.stateDirectory ?? "/state";
    this.identify = options.identify ?? chainKey;
  }

  async use(lower: readonly string[], holder: string, signal?: AbortSignal): Promise<ImageLease | undefined> {
    throwIfAborted(signal, { operation: "use an image", subject: holder });
    if (!this.available) return undefined;
    const key = await this.identify(lower).catch(() => undefined);
    if (key === undefined) return undefined;
    const there = this.disk.images.has(key);
    const kept = this.make(key, lower);
    if (!there && this.options.inLine?.() === false) return undefined;
    kept.holders.set(holder, this.owner);
    kept.lastUsedAt = ++this.disk.uses;
    return { image: shown(key, kept), release: () => this.release(key, holder) };
  }

  async hold(key: string, holder: string): Promise<ImageLease | undefined> {
    const kept = this.disk.images.get(key);
    this.onHold?.();
    if (!this.available || kept === undefined) return undefined;
    kept.holders.set(holder, this.owner);
    kept.lastUsedAt = ++this.disk.uses;
    return { image: shown(key, kept), release: () => this.release(key, holder) };
  }

  async release(key: string, holder: string): Promise<void> {
    this.disk.images.get(key)?.holders.delete(holder);
  }

  async held(): Promise<readonly { readonly key: string; readonly holder: string }[]> {
    return [...this.disk.images].flatMap(([key, { holders }]) =>
      [...holders].flatMap(([holder, owner]) => (owner === this.owner ? [{ key, holder }] : [])),
    );
  }

  async releaseLost(holders: ReadonlySet<string>): Promise<readonly string[]> {
    const lost: string[] = [];
    for (const kept of this.disk.images.values()) {
      const own = [...kept.holders].filter(([holder, owner]) => owner === this.owner && !holders.has(holder));
      for (const [holder] of own) kept.holders.delete(holder);
      lost.push(...own.map(([holder]) => holder));
    }
    return lost;
  }

  async prepare(lower: readonly string[], signal?: AbortSignal): Promise<LayerImage> {
    throwIfAborted(signal, { operation: "make an image" });
    const key = await this.identify(lower);
    return shown(key, this.make(key, lower));
  }

  async keys(): Promise<readonly string[]> {
    return [...this.disk.images.keys()];
  }

  async list(): Promise<readonly LayerImage[]> {
    const images = [...this.disk.images].map(([key, kept]) => shown(key, kept));
    return images.sort((a, b) => b.lastUsedAt.getTime() - a.lastUsedAt.getTime());
  }

  async remove(key: string): Promise<void> {
    const kept = this.find(key);
    if (kept.holders.size > 0)
      throw blazarError("ImageInUse", "remove an image", "it is held", { subject: key });
    this.disk.images.delete(key);
  }

  async verify(key: string): Promise<void> {
    this.find(key);
  }

  async close(): Promise<void> {}

  isHeld(key: string): boolean {
    return (this.disk.images.get(key)?.holders.size ?? 0) > 0;
  }

  /** Leases that nobody gave back. */
  get leases(): string[] {
    return [...this.disk.images].flatMap(([key, { holders }]) =>
      [...holders.keys()].map((holder) => `${key} of ${holder}`),
    );
  }

  private make(key: string, lower: readonly string[]): Kept {
    const known = this.disk.images.get(key);
    if (known !== undefined) return known;
    const made = {
      lower,
      createdAt: new Date(0),
      lastUsedAt: ++this.disk.uses,
      holders: new Map<string, string>(),
    };
    this.disk.images.set(key, made);
    return made;
  }

  private find(key: string): Kept {
    const kept = this.disk.images.get(key);
    if (kept === undefined) throw notFound(key);
    return kept;
  }
}

/** The apparent size of every image. */
export const IMAGE_SIZE = SLOT_BYTES;

function shown(key: string, { lower, createdAt, lastUsedAt, holders }: Kept): LayerImage {
  const path = `/memory/images/${key}/image.erofs`;
  return {
    key,
    path,
    lower,
    bytes: 4096,
    createdAt,
    lastUsedAt: new Date(lastUsedAt),
    holders: [...holders.keys()],
  };
}

function notFound(key: string): BlazarError {
  return blazarError("ImageNotFound", "find an image", "there is none", { subject: key });
}
