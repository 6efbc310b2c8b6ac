/**
 * Images: read-only EROFS disks with the layers of containers, each mounted once for all containers that use it.
 *
 * A slot is a disk that is there from the start and shows another image each time (SLOT_SERIALS). Its device is looked up
 * ahead, because finding a disk takes an emulated guest milliseconds. Nothing may keep a slot open when it is not mounted:
 * the kernel drops its cached blocks at the last close, and the next image would be mixed up with them.
 */
import * as sys from "sys";
import { failure } from "../../../native/runtime/check.ts";
import type { EventLoop } from "../../../native/runtime/event-loop.ts";
import { makeDirectories } from "../../../native/runtime/files.ts";
import type { Logger } from "../../../native/runtime/log.ts";
import { poll } from "../../../native/runtime/promises.ts";
import { blazarError } from "../../../src/contracts/errors.ts";
import { SLOT_SERIALS } from "../../../src/protocol/guest/messages.ts";
import { IMAGES } from "../guest-paths.ts";
import { checkedSerial } from "../path-checks.ts";
import { diskReleased, findDisk, isFree, presentDisk } from "./disks.ts";

/** A container sees the overlay above it; the flags only keep everybody else from using what is in an image. */
const FLAGS = sys.MS_RDONLY | sys.MS_NOSUID | sys.MS_NODEV | sys.MS_NOATIME;

/** EROFS_SUPER_OFFSET and EROFS_SUPER_MAGIC_V1 of the kernel's fs/erofs. */
const SUPER_OFFSET = 1024;
const EROFS_MAGIC = 0xe0f5e1e2;
const HEAD_BYTES = 16 * 1024;
/** The host fills a slot while it asks for the container. */
const SHOWN_WITHIN_MS = 2_000;

/** What mounting images needs. */
export interface ImageTools {
  readonly loop: EventLoop;
  readonly logger: Logger;
  /** Resolves when the kernel modules for disks are loaded. */
  readonly disksReady: Promise<void>;
}

interface Image {
  users: number;
  /** The device that is mounted. */
  device: string | undefined;
  /** A device whose last mount still holds it: the kernel would show that again, whatever the disk shows now. */
  held: string | undefined;
  /** Mounts and unmounts, one after the other. */
  work: Promise<void>;
}

export class Images {
  private readonly slots = new Map<string, string>();
  private readonly images = new Map<string, Image>();

  /** Those that are in use whether a container uses them or not. */
  private readonly prepared = new Set<string>();

  constructor(private readonly tools: ImageTools) {}

  /** Finds the slots that this machine has. */
  lookUpSlots(): void {
    for (const serial of SLOT_SERIALS) {
      const device = presentDisk(serial);
      if (device !== undefined) this.slots.set(serial, device);
    }
  }

  /** Mounts the image, or counts one more user. Returns where it is mounted. Throws, counting nothing. */
  async use(serial: string): Promise<string> {
    const path = pathOf(serial);
    const image = this.images.get(serial) ?? newImage();
    this.images.set(serial, image);
    image.users++;
    try {
      await this.settle(serial, image);
      return path;
    } catch (error) {
      image.users--;
      throw error;
    }
  }

  /** Mounts an image ahead of its containers, and keeps it mounted. Throws what {@link use} throws. */
  async prepare(serial: string): Promise<void> {
    if (this.prepared.has(serial)) return;
    this.prepared.add(serial);
    try {
      await this.use(serial);
    } catch (error) {
      this.prepared.delete(serial);
      throw error;
    }
  }

  /** Counts one user less. After the last one it is unmounted, and the disk is free. */
  async release(serial: string): Promise<void> {
    const image = this.images.get(serial);
    if (image === undefined) return;
    image.users--;
    await this.settle(serial, image);
  }

  /** Mounts what has users and unmounts what has none, when everything before is done. */
  private settle(serial: string, image: Image): Promise<void> {
    const step = async (): Promise<void> => {
      if (image.users > 0 && image.device === undefined) await this.mount(serial, image);
      else if (image.users === 0 && image.device !== undefined)
        await this.unmount(serial, image, image.device);
      if (image.users === 0 && image.held === undefined) this.images.delete(serial);
    };
    image.work = image.work.catch(() => undefined).then(step);
    return image.work;
  }

  private async mount(serial: string, image: Image): Promise<void> {
    if (image.held !== undefined && !isFree(image.held)) {
      const reason = "the disk's last image is still in use";
      throw blazarError("MountFailed", "mount an image", reason, { subject: serial });
    }
    const device = this.slots.get(serial) ?? (await this.find(serial));
    const path = pathOf(serial);
    makeDirectories(path);
    const open = await poll(this.tools.loop, SHOWN_WITHIN_MS, () => openImage(device));
    const result = sys.mount(device, path, "erofs", FLAGS, null);
    if (open !== undefined) sys.close(open);
    if (result < 0) throw failure(result, "MountFailed", "mount an image", serial);
    image.device = device;
    image.held = undefined;
  }

  private async unmount(serial: string, image: Image, device: string): Promise<void> {
    const path = pathOf(serial);
    const result = sys.umount2(path, sys.MNT_DETACH);
    if (result < 0) throw failure(result, "MountFailed", "unmount an image", serial);
    image.device = undefined;
    sys.rmdir(path);
    if (await diskReleased(this.tools.loop, device)) return;
    image.held = device;
    this.tools.logger.warn("an image is still in use after its last container", { serial });
  }

  private async find(serial: string): Promise<string> {
    await this.tools.disksReady;
    return findDisk(this.tools.loop, serial);
  }
}

/**
 * Opens a disk that shows an image; undefined if it does not (yet). What is read here is what mount(2) and the first
 * look-ups need, in one request: the kernel has it as long as the disk is open.
 */
function openImage(device: string): number | undefined {
  const fd = sys.open(device, sys.O_RDONLY);
  if (fd < 0) return undefined;
  const head = new ArrayBuffer(HEAD_BYTES);
  const size = sys.pread(fd, head, 0, HEAD_BYTES, 0);
  if (size >= SUPER_OFFSET + 4 && new DataView(head).getUint32(SUPER_OFFSET, true) === EROFS_MAGIC) return fd;
  // the next look must not find the blocks that the kernel has now
  sys.close(fd);
  return undefined;
}

function newImage(): Image {
  return { users: 0, device: undefined, held: undefined, work: Promise.resolve() };
}

function pathOf(serial: string): string {
  return `${IMAGES}/${checkedSerial(serial)}`;
}
