/**
 * The images in one VM: each is attached once, for all containers that use it, and detached after the last of them.
 *
 * An image is known by its key (contracts/images.ts), and to the guest by a serial number that the VM has chosen. Whoever
 * releases an image has had the guest unmount it. It holds no leases.
 */
import type { Vm } from "../../contracts/vm.ts";

/** An image as a plan names it. */
export interface PlannedImage {
  readonly key: string;
  readonly path: string;
}

interface Attached {
  readonly serial: Promise<string>;
  users: number;
}

export class VmImages {
  private readonly attached = new Map<string, Attached>();
  private count = 0;

  constructor(private readonly vm: Pick<Vm, "attachImage" | "detachImage">) {}

  /** Attaches the image, or counts one more user. Resolves with its serial. Throws what the VM says, counting nothing. */
  async use({ key, path }: PlannedImage): Promise<string> {
    const image = this.attached.get(key) ?? this.attach(path);
    this.attached.set(key, image);
    image.users++;
    try {
      return await image.serial;
    } catch (error) {
      if (this.attached.get(key) === image) this.attached.delete(key);
      throw error;
    }
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
      await this.vm.detachImage(await image.serial);
    } catch (error) {
      if (!this.attached.has(key)) this.attached.set(key, { ...image, users: 1 });
      throw error;
    }
  }

  private attach(path: string): Attached {
    this.count++;
    return { serial: this.vm.attachImage({ id: `image-${this.count}`, path }), users: 0 };
  }
}
