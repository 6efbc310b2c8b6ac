/**
 * The images in one VM: each is attached once, for all containers that use it, and detached after the last of them.
 *
 * An image is known by its key (contracts/images.ts), and to the guest by a serial number that the VM has chosen. Whoever
 * releases an image has had the guest unmount it. It holds no leases.
 */
import type { Vm } from "../../contracts/vm.ts";
import { deferred } from "../../lib/async.ts";

/** An image as a plan names it. */
export interface PlannedImage {
  readonly key: string;
  readonly path: string;
}

/** An image as its guest finds it. */
export interface UsedImage {
  readonly serial: string;
  /** Settles when the VM shows it, or says why not. A slot's serial is known before: its guest waits for the image. */
  readonly shown: Promise<void>;
}

interface Attached {
  readonly serial: Promise<string>;
  readonly shown: Promise<void>;
  users: number;
}

export class VmImages {
  private readonly attached = new Map<string, Attached>();
  private count = 0;

  /** @param prefix begins the ids of its images; another one for each daemon that the VM has had */
  constructor(
    private readonly vm: Pick<Vm, "attachImage" | "detachImage">,
    private readonly prefix = "image-",
  ) {}

  /** One more user of an image that an earlier daemon has attached. */
  adopt({ key, serial }: { readonly key: string; readonly serial: string }): void {
    const image = this.attached.get(key) ?? {
      serial: Promise.resolve(serial),
      shown: Promise.resolve(),
      users: 0,
    };
    image.users++;
    this.attached.set(key, image);
  }

  /**
   * Attaches the image, or counts one more user. Throws what the VM says, counting nothing. Nor does an image count that
   * the VM could not show.
   */
  async use({ key, path }: PlannedImage): Promise<UsedImage> {
    const image = this.attached.get(key) ?? this.attach(key, path);
    image.users++;
    return { serial: await image.serial, shown: image.shown };
  }

  /** Counts one user less, and detaches the image after the last one. A failure counts nothing: it can be tried again. */
  async release(key: string): Promise<void> {
    const image = this.attached.get(key);
    if (image === undefined) return;
    image.users--;
    if (image.users > 0) return;
    // whoever comes from now on gets the image under another serial
    this.attached.delete(key);
    try {
      await image.shown;
      await this.vm.detachImage(await image.serial);
    } catch (error) {
      if (!this.attached.has(key)) this.attached.set(key, { ...image, users: 1 });
      throw error;
    }
  }

  private attach(key: string, path: string): Attached {
    this.count++;
    const chosen = deferred<string>();
    const attached = this.vm.attachImage({ id: `${this.prefix}${this.count}`, path }, chosen.resolve);
    const shown = attached.then(chosen.resolve);
    const image = { serial: chosen.promise, shown, users: 0 };
    this.attached.set(key, image);
    shown.catch((error: unknown) => {
      if (this.attached.get(key) === image) this.attached.delete(key);
      chosen.reject(error);
    });
    chosen.promise.catch(() => undefined);
    return image;
  }
}
