/**
 * A store of images in memory: each chain has one, unless a test says otherwise, and every lease is counted.
 */
import { join } from "node:path";
import type { ImageLease, ImageStore, LayerImage } from "../../../src/contracts/images.ts";

export class MemoryImages implements Pick<ImageStore, "use" | "release"> {
  /** Whether there is an image for whoever asks. */
  available = true;
  /** Key → who holds it. */
  private readonly holders = new Map<string, Set<string>>();

  async use(lower: readonly string[], holder: string): Promise<ImageLease | undefined> {
    if (!this.available) return undefined;
    const key = Buffer.from(lower.join(":")).toString("hex");
    const holders = this.holders.get(key) ?? new Set();
    this.holders.set(key, holders.add(holder));
    const times = { createdAt: new Date(0), lastUsedAt: new Date(0) };
    const image: LayerImage = {
      ...{ key, path: join("/images", key), bytes: 1, lower },
      ...{ ...times, holders: [...holders] },
    };
    return { image, release: () => this.release(key, holder) };
  }

  async release(key: string, holder: string): Promise<void> {
    this.holders.get(key)?.delete(holder);
  }

  isHeld(key: string): boolean {
    return (this.holders.get(key)?.size ?? 0) > 0;
  }

  /** Leases that nobody gave back. */
  get leases(): string[] {
    return [...this.holders].flatMap(([key, holders]) => [...holders].map((holder) => `${key} of ${holder}`));
  }
}
