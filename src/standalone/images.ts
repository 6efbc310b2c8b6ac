/**
 * What an operator does with images of layers: list, prepare, remove, verify.
 *
 * It works on the directory that the daemon's configuration names, and may do so beside a running daemon: locks and
 * marks on disk keep the two apart. Work that needs a keeper or threads has its own.
 */
import { prepareImage } from "../actors/images/prepare.ts";
import type { ImageStore, LayerImage } from "../contracts/images.ts";
import type { Logger } from "../contracts/logger.ts";
import { loadConfig } from "../daemon/config/load.ts";
import type { Config } from "../daemon/config/schema.ts";
import { openSnapshots, readLower } from "../daemon/stores/snapshots.ts";
import { AS_CONFIGURED, type Done, eachNamed, eachNamedOrAll, inSession } from "./by-key.ts";

/** What an image is made of. */
export type ImageSource =
  /** Directories, the topmost first. */
  | { readonly layers: readonly string[] }
  /** The full name of an OCI image that the configured containerd has unpacked. */
  | { readonly reference: string };

/** The images of one configuration. */
export class ImageAdmin {
  private constructor(
    private readonly config: Config,
    private readonly logger: Logger,
  ) {}

  /** @param file the daemon's configuration; undefined = all defaults. Throws InvalidConfig. */
  static async open(file: string | undefined, logger: Logger): Promise<ImageAdmin> {
    return new ImageAdmin(await loadConfig(file), logger);
  }

  /** Where they are. */
  get directory(): string {
    return this.config.image.directory;
  }

  /** The last used first. */
  async list(): Promise<readonly LayerImage[]> {
    const images = await this.withStore((store) => store.list());
    return images ?? [];
  }

  /** Makes the image unless there is one. Undefined: called off by a signal. */
  prepare(source: ImageSource): Promise<LayerImage | undefined> {
    return this.withStore((store, signal) =>
      "layers" in source
        ? store.prepare(source.layers, signal)
        : this.prepareReference(source.reference, store, signal),
    );
  }

  /** Removes images, named by their keys or the beginnings of these. False: called off by a signal. */
  async remove(names: readonly string[], done: Done): Promise<boolean> {
    const finished = await this.withStore(async (store) => {
      await eachNamed(store, names, done, (key) => store.remove(key));
      return true;
    });
    return finished === true;
  }

  /** Reads the named images, or all, and tells which are whole. False: called off by a signal. */
  async verify(names: readonly string[], done: Done): Promise<boolean> {
    const finished = await this.withStore(async (store) => {
      await eachNamedOrAll(store, names, done, (key) => store.verify(key));
      return true;
    });
    return finished === true;
  }

  private async prepareReference(
    reference: string,
    images: ImageStore,
    signal: AbortSignal,
  ): Promise<LayerImage> {
    const snapshots = openSnapshots(this.config, this.logger);
    try {
      return await prepareImage(reference, { snapshots, images, readLower }, signal);
    } finally {
      snapshots.close();
    }
  }

  private withStore<T>(work: (store: ImageStore, signal: AbortSignal) => Promise<T>): Promise<T | undefined> {
    return inSession(AS_CONFIGURED, this.logger, this.config, ({ images }, _, signal) =>
      work(images, signal),
    );
  }
}
