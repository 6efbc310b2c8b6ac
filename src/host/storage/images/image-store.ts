/**
 * The store of images on this host's disk (docs/adr/0010, docs/storage.md).
 *
 * All Blazar processes with the same `image.directory` share their images. One image is made at a time, under a lock. None is
 * dropped while anybody holds it. Whatever fails here costs a start nothing but speed.
 */
import { rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { BlazarError, blazarError, reasonOf } from "../../../contracts/errors.ts";
import { type ImageLease, type ImageStore, type LayerImage, SLOT_BYTES } from "../../../contracts/images.ts";
import type { Logger } from "../../../contracts/logger.ts";
import { abortable, throwIfAborted, within } from "../../../lib/async.ts";
import { checkId } from "../../../lib/ids.ts";
import { Builds } from "../../builds/builds.ts";
import { makeRoom } from "../../builds/room.ts";
import { lock } from "../../file-lock.ts";
import { chainKey } from "./chain-key.ts";
import { buildImage, type ImageMaker } from "./image-builder.ts";
import { ImageFiles } from "./image-files.ts";

/** Others wait for the store meanwhile. */
const BUILD_MS = 600_000;
/** Layers with no more than this are worth a wait: docs/adr/0010 has the times. */
const SMALL = { entries: 2000, bytes: 32 * 2 ** 20 };
const PREPARE = "make an image of layers";
/** Longest that an end waits until layers are out of the host's memory. */
const FORGET_MS = 2000;

export interface ImageStoreOptions extends ImageMaker {
  /** Absolute; made when the first image is. */
  readonly directory: string;
  /** Absolute: the leases of a daemon are those of all daemons with this state directory. */
  readonly stateDirectory: string;
  /** Allocated bytes of all images together; the least recently used are dropped to keep it. */
  readonly diskLimitBytes: number;
  /** Longest that {@link ImageStore.use} waits for a small image, in milliseconds. */
  readonly inlineLimitMs: number;
  /** Whether images are made and used. */
  readonly enabled: boolean;
  /** Why none can be made or used here, whatever `enabled` says. */
  readonly unavailable?: string;
  readonly logger: Logger;
  /** Milliseconds since the epoch; default Date.now. */
  readonly now?: () => number;
}

export class LocalImageStore implements ImageStore {
  private readonly files: ImageFiles;
  private readonly builds: Builds<LayerImage>;
  private readonly now: () => number;
  private readonly chains = new Map<string, readonly string[]>();
  /** Keys whose layers are known to be small, or not. */
  private readonly small = new Map<string, Promise<boolean>>();
  /** Read by this process; that the image is still there is shown by the mark of a lease. */
  private readonly known = new Map<string, LayerImage>();
  private lastTrouble = "";
  private forgetting: Promise<unknown> = Promise.resolve();
  private closed = false;

  constructor(private readonly options: ImageStoreOptions) {
    this.now = options.now ?? Date.now;
    this.files = new ImageFiles(options.directory, options.stateDirectory);
    this.builds = new Builds((key, signal) => this.make(key, signal), this.now, PREPARE);
  }

  async use(lower: readonly string[], holder: string, signal?: AbortSignal): Promise<ImageLease | undefined> {
    checkId(holder, "use an image");
    if (!this.works) return undefined;
    const what = { operation: "use an image", subject: holder };
    const work = this.lease(lower, holder).catch((error: unknown) => this.trouble(error));
    try {
      const lease = await abortable(work, signal, what);
      throwIfAborted(signal, what);
      return lease;
    } catch (error) {
      void work.then((late) => late?.release());
      throw error;
    }
  }

  async hold(key: string, holder: string): Promise<ImageLease | undefined> {
    if (!this.works) return undefined;
    try {
      checkId(holder, "use an image");
      return await this.take(key, holder);
    } catch (error) {
      return this.trouble(error, { image: key });
    }
  }

  release(key: string, holder: string): Promise<void> {
    return this.files.release(key, holder);
  }

  held(): Promise<readonly { readonly key: string; readonly holder: string }[]> {
    return this.files.allOwn();
  }

  async releaseLost(holders: ReadonlySet<string>): Promise<readonly string[]> {
    const lost: string[] = [];
    for (const key of await this.files.keys()) {
      for (const holder of await this.files.ownHolders(key)) {
        if (holders.has(holder)) continue;
        await this.files.release(key, holder);
        lost.push(holder);
      }
    }
    return lost;
  }

  async prepare(lower: readonly string[], signal?: AbortSignal): Promise<LayerImage> {
    const { enabled, unavailable } = this.options;
    if (!enabled || unavailable !== undefined) {
      const about = unavailable === undefined ? { remedy: "set image.enabled" } : {};
      throw blazarError("Unimplemented", PREPARE, unavailable ?? "images are switched off", about);
    }
    throwIfAborted(signal, { operation: PREPARE });
    const key = await chainKey(lower);
    const found = await this.find(key);
    if (found !== undefined) return found;
    this.chains.set(key, lower);
    return this.builds.join(key, signal);
  }

  keys(): Promise<readonly string[]> {
    return this.files.keys();
  }

  async list(): Promise<readonly LayerImage[]> {
    const found: LayerImage[] = [];
    for (const key of await this.files.keys()) {
      try {
        const image = await this.files.read(key);
        if (image !== undefined) found.push(image);
      } catch (error) {
        this.options.logger.warn({ err: error, image: key }, "an image is broken");
      }
    }
    return found.sort((a, b) => b.lastUsedAt.getTime() - a.lastUsedAt.getTime());
  }

  async remove(key: string): Promise<void> {
    const operation = "remove an image";
    const outcome = await this.files.remove(key, false);
    if (outcome === "held")
      throw blazarError("ImageInUse", operation, "containers or VMs use it", { subject: key });
    if (outcome === "absent") throw notFound(operation, key);
  }

  async verify(key: string): Promise<void> {
    const operation = "verify an image";
    const image = await this.files.read(key);
    if (image === undefined) throw notFound(operation, key);
    const found = await this.options.workers.run("read", { image: image.path, size: image.size });
    const damage =
      found.sha256 !== image.sha256 ? "its hash is another" : "there is something behind its end";
    if (found.sha256 === image.sha256 && found.bare) return;
    const remedy = `remove it: blazar image rm ${key}`;
    throw blazarError("ImageBroken", operation, damage, { subject: key, remedy });
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.builds.close();
    await within(this.forgetting, FORGET_MS);
  }

  private get works(): boolean {
    return this.options.enabled && this.options.unavailable === undefined && !this.closed;
  }

  private async lease(lower: readonly string[], holder: string): Promise<ImageLease | undefined> {
    const key = await chainKey(lower);
    const taken = await this.take(key, holder);
    if (taken !== undefined) return taken;
    this.chains.set(key, lower);
    this.buildBehind(key, lower);
    const made = await within(this.madeInLine(key), this.options.inlineLimitMs);
    return made === true ? this.take(key, holder) : undefined;
  }

  /** A lease on an image that is there. */
  private async take(key: string, holder: string): Promise<ImageLease | undefined> {
    if (!(await this.files.hold(key, holder, new Date(this.now())))) return undefined;
    const release = () => this.files.release(key, holder);
    const image = this.known.get(key) ?? (await this.find(key));
    if (image === undefined) {
      await release();
      return undefined;
    }
    this.known.set(key, image);
    return { image, release };
  }

  /** A broken one is removed, unless somebody holds it. */
  private async find(key: string): Promise<LayerImage | undefined> {
    try {
      return await this.files.read(key);
    } catch (error) {
      if (!(error instanceof BlazarError) || error.code !== "ImageBroken") throw error;
      await this.files.remove(key, false);
      this.options.logger.warn({ err: error, image: key }, "an image is broken: it is made again");
      return undefined;
    }
  }

  /** Starts a build that goes on when nobody waits for it. */
  private buildBehind(key: string, lower: readonly string[]): void {
    const { logger } = this.options;
    const fields = { image: key, layers: lower.length };
    this.builds.behind(key, {
      onBegin: () => logger.info(fields, "no image of these layers yet: it is made behind"),
      onFailure: (error, retryAfterMs) => this.trouble(error, { ...fields, retryAfterMs }),
    });
  }

  /** True when the image is there; false at once if the layers are not small, or nothing is being made. */
  private async madeInLine(key: string): Promise<boolean> {
    const made = this.builds.pending(key);
    if (made === undefined || !(await (this.small.get(key) ?? false))) return false;
    return made.then(
      () => true,
      () => false,
    );
  }

  private estimate(key: string, lower: readonly string[]): Promise<boolean> {
    const known = this.small.get(key);
    if (known !== undefined) return known;
    const asked = this.options.workers.run("estimate", { lower, ...SMALL }).then(
      ({ small }) => small,
      () => false,
    );
    this.small.set(key, asked);
    return asked;
  }

  /** One build, from the lock to the finished image. */
  private async make(key: string, signal: AbortSignal): Promise<LayerImage> {
    const lower = this.chains.get(key);
    if (lower === undefined) throw notFound(PREPARE, key);
    void this.estimate(key, lower);
    try {
      await this.files.prepare();
      const held = await lock(this.files.lockFile, signal);
      try {
        await this.sweep();
        // Another process may have made it while this one waited.
        const bounded = AbortSignal.any([signal, AbortSignal.timeout(BUILD_MS)]);
        return (await this.find(key)) ?? (await this.makeLocked(key, lower, bounded));
      } finally {
        await held.release();
      }
    } finally {
      this.chains.delete(key);
      this.small.delete(key);
    }
  }

  private async makeLocked(key: string, lower: readonly string[], signal: AbortSignal): Promise<LayerImage> {
    const { diskLimitBytes, logger } = this.options;
    const began = this.now();
    const draft = await this.files.draft();
    try {
      const most = Math.min(diskLimitBytes, SLOT_BYTES);
      const content = await buildImage(this.options, { key, lower, draft, most }, signal);
      await rm(join(draft, "log"));
      // rmdir(2) removes neither files nor mount points
      for (const rest of ["empty", "view"]) await rmdir(join(draft, rest));
      await this.makeRoom(await this.files.size(draft));
      await this.files.publish(draft, key, lower, content, new Date(this.now()));
      this.forgetLayers(lower);
    } catch (error) {
      await this.dropDraft(draft);
      throw error;
    }
    const image = await this.files.read(key);
    if (image === undefined) throw notFound("read a new image", key);
    logger.info(
      { image: key, layers: lower.length, bytes: image.bytes, ms: this.now() - began },
      "an image is made",
    );
    return image;
  }

  /**
   * containerd and mkfs.erofs have brought all of the layers into the page cache, where the image is now, too. Nobody waits:
   * layers that were just unpacked are written to disk first.
   */
  private forgetLayers(lower: readonly string[]): void {
    this.forgetting = this.options.workers
      .run("dropLayers", lower)
      .catch((error: unknown) => this.options.logger.debug({ err: error }, "layers stay in memory"));
  }

  /** Removes what a crash has left; the lock is held. */
  private async sweep(): Promise<void> {
    for (const path of await this.files.leftovers()) await this.dropDraft(path);
  }

  private async dropDraft(draft: string): Promise<void> {
    try {
      // Never below a mount: the layers are there.
      await this.options.workers.run("closeView", draft);
      await this.files.drop(draft);
    } catch (error) {
      this.options.logger.warn({ err: error, directory: draft }, "half an image is left");
    }
  }

  private makeRoom(bytes: number): Promise<void> {
    const { diskLimitBytes, logger } = this.options;
    return makeRoom(bytes, diskLimitBytes, {
      what: "an image",
      remedy: "raise image.disk_limit",
      list: () => this.list(),
      held: (key) => this.files.held(key),
      remove: async (key) => (await this.files.remove(key, false)) !== "held",
      onDropped: (image, size) =>
        logger.info({ image, bytes: size }, "the least recently used image is dropped"),
    });
  }

  /** What stands in the way of images is told once, not once a start. */
  private trouble(error: unknown, fields: Record<string, unknown> = {}): undefined {
    const reason = reasonOf(error);
    const all = { err: error, directory: this.options.directory, ...fields };
    const level = reason === this.lastTrouble ? "debug" : "warn";
    this.options.logger[level](all, "no image of these layers: they are served by the share");
    this.lastTrouble = reason;
    return undefined;
  }
}

function notFound(operation: string, key: string): BlazarError {
  return blazarError("ImageNotFound", operation, "there is none", {
    subject: key,
    remedy: "see: blazar image ls",
  });
}
