/**
 * Containers' roots that only exist as names, with real leases on images in memory.
 */
import type { RootfsPlan, RootfsRequest } from "../../../src/contracts/storage.ts";
import type { ActorPorts } from "../../../src/daemon/actors.ts";
import type { FakeVmmDriver } from "../fake-vmm/driver.ts";
import type { MemoryImages } from "./images.ts";

type RootfsStep = "plan" | "apply" | "release";

/** What is made and undone on the host, and fails if a test wants it to. */
export interface RootfsSteps {
  readonly make: (step: RootfsStep, name: string) => void;
  readonly undo: (step: RootfsStep, chosen: (name: string) => boolean) => void;
  readonly maybeFail: (step: RootfsStep, subject: string) => void;
}

export class MemoryRootfs {
  /** Whether a prepared disk can be moved to where a container's is wanted. */
  placesDisks = true;
  /** Images that were given back while a VM still had them. */
  readonly droppedImages: string[] = [];

  constructor(
    private readonly images: MemoryImages,
    private readonly driver: FakeVmmDriver,
    private readonly steps: RootfsSteps,
  ) {}

  /** For one life of a daemon. */
  port(): ActorPorts["rootfs"] {
    return {
      plan: (request) => this.plan(request),
      apply: async (plan) => {
        for (const name of namesOf(plan)) this.steps.make("apply", name);
      },
      releaseImage: (plan) => this.releaseImage(plan),
      prepareDisk: async (path) => void this.driver.disks.add(path),
      placeDisk: async (plan, path) => this.placeDisk(plan, path),
      release: async (plan) => {
        const names = namesOf(plan);
        this.steps.undo("release", (name) => names.includes(name));
        await this.releaseImage(plan);
      },
    };
  }

  async giveBack(key: string, holder: string): Promise<void> {
    await this.images.release(key, holder);
    if (this.images.isHeld(key)) return;
    const given = (await this.images.list()).find((image) => image.key === key);
    if (given === undefined) return;
    for (const id of this.driver.running) {
      const { images, faults } = this.driver.vm(id);
      const attached = [...images.values()].some(({ path }) => path === given.path);
      // one that does not let go of it keeps the file open
      if (attached && faults.detachImage === undefined)
        this.droppedImages.push(`${given.path}, which ${id} has`);
    }
  }

  private async plan({ containerId, shareDirectory, withoutImage }: RootfsRequest): Promise<RootfsPlan> {
    this.steps.maybeFail("plan", containerId);
    const layers = ["/layer"];
    const lease = withoutImage === true ? undefined : await this.images.use(layers, containerId);
    const directory = `${shareDirectory}/${containerId}`;
    const rest = {
      containerId,
      disk: { path: `/disks/${containerId}`, filesystem: "ext4", owned: true, readonly: false, kept: true },
      owner: undefined,
    };
    if (lease === undefined) {
      const lower = { kind: "share", directory, target: `${directory}/rootfs`, layers } as const;
      return { ...rest, lower, guest: { kind: "layers", path: `${containerId}/rootfs`, readonly: false } };
    }
    const { key, path } = lease.image;
    return {
      ...rest,
      lower: { kind: "image", key, path },
      guest: { kind: "image", path: "", readonly: false },
    };
  }

  /** The snapshot's from then on. */
  private placeDisk({ disk }: RootfsPlan, path: string): boolean {
    if (!this.placesDisks || !this.driver.disks.delete(path)) return false;
    for (const id of this.driver.running) this.driver.vm(id).moveDisk(path, disk.path);
    return true;
  }

  private async releaseImage({ lower, containerId }: RootfsPlan): Promise<void> {
    if (lower?.kind === "image") await this.giveBack(lower.key, containerId);
  }
}

/** What a plan makes: the container's layer, and its directory in a share. */
function namesOf({ containerId, lower }: RootfsPlan): string[] {
  return [`layer of ${containerId}`, ...(lower?.kind === "share" ? [`rootfs ${lower.directory}`] : [])];
}
