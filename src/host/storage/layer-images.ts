/**
 * The LayerImages port: writable layers as files, made, packed and unpacked by workers.
 */
import { stat } from "node:fs/promises";
import type { LayerImages } from "../../contracts/storage.ts";
import type { EmptyImage } from "../../workers/disk-image.ts";
import type { RootfsTasks } from "../../workers/rootfs.worker.ts";
import type { TaskRunner } from "./worker-pool.ts";

type Owner = { readonly uid: number; readonly gid: number } | undefined;

/** Layers that start as set-up's empty image. */
export class HostLayerImages implements LayerImages {
  constructor(
    private readonly workers: TaskRunner<RootfsTasks>,
    private readonly empty: EmptyImage,
  ) {}

  async identity(): Promise<string> {
    const { size, mtimeMs } = await stat(this.empty.image);
    return `${size}/${mtimeMs}`;
  }

  async make(image: string, owner: Owner): Promise<void> {
    await this.workers.run("makeImage", { image, owner, empty: this.empty });
  }

  async pack(image: string, packed: string): Promise<void> {
    await this.workers.run("packImage", { image, packed });
  }

  async unpack(packed: string, image: string, owner: Owner): Promise<void> {
    await this.workers.run("unpackImage", { packed, image, owner });
  }
}
