/**
 * The LayerImages port: writable layers as files, for a template's VM and its clones.
 *
 * Workers make, pack and unpack them. Must not know which VM has which file.
 */
import { stat } from "node:fs/promises";
import type { LayerImages } from "../../contracts/storage.ts";
import type { EmptyImage, Owner } from "../../workers/images/disk-image.ts";
import type { RootfsTasks } from "../../workers/rootfs.worker.ts";
import type { TaskRunner } from "./worker-pool.ts";

/** Layers that start as a copy of the empty image that `npm run setup` has made. */
export class HostLayerImages implements LayerImages {
  constructor(
    private readonly workers: TaskRunner<RootfsTasks>,
    private readonly empty: EmptyImage,
  ) {}

  async identity(): Promise<string> {
    const { size, mtimeMs } = await stat(this.empty.image);
    return `${size}/${mtimeMs}`;
  }

  async make(image: string, owner: Owner | undefined): Promise<void> {
    await this.workers.run("makeImage", { image, owner, empty: this.empty });
  }

  async pack(image: string, packed: string): Promise<void> {
    await this.workers.run("packImage", { image, packed });
  }

  async unpack(packed: string, image: string, owner: Owner | undefined): Promise<void> {
    await this.workers.run("unpackImage", { packed, image, owner, empty: this.empty });
  }
}
