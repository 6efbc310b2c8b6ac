/**
 * The image that a container has used last on this node, and how a warm VM gets it ahead of its first container.
 *
 * The VM itself is a user of the image until it ends: the image stays in its slot and mounted, and the lease on it is among
 * the VM's resources. A VM without it is as good, only slower.
 */
import type { ImageStore } from "../../../contracts/images.ts";
import { type PreparationPorts, prepareImage } from "../../guest/preparation.ts";
import type { HostResource } from "../../resources/kinds/kinds.ts";
import type { GuestVm } from "../../vm/guest-vm.ts";
import type { PlannedImage } from "../../vm/vm-images.ts";

export interface LastImagePorts extends PreparationPorts {
  readonly images: Pick<ImageStore, "hold">;
}

export class LastImage {
  private last: PlannedImage | undefined;

  /** A container runs on this image. Rehearsals do not count: every VM has had their image. */
  readonly used = (image: PlannedImage): void => {
    this.last = image;
  };

  /**
   * Attaches the image to a VM and has the guest mount it, if there is one. A failure is told once.
   * @throws BlazarError GuestLost: such a VM is not warm
   */
  async prepareIn(vm: GuestVm, ports: LastImagePorts, signal: AbortSignal): Promise<void> {
    const serial = this.last && (await attach(vm, this.last, ports, signal));
    // whatever the guest says, the image stays attached, and the VM keeps its lease
    if (serial !== undefined) await prepareImage(vm.liveLink, serial, ports, signal);
  }
}

/** Undefined if the image is gone or cannot be attached: then there is no lease on it. */
async function attach(
  vm: GuestVm,
  image: PlannedImage,
  ports: LastImagePorts,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { key } = image;
  const isLease = (resource: HostResource) => resource.kind === "image" && resource.key === key;
  try {
    if (!(await takeLease(vm, { kind: "image", key, holder: vm.id }, ports))) {
      await vm.resources.gone(isLease);
      return undefined;
    }
    const { serial, shown } = await vm.images.use(image);
    await shown;
    vm.imageAhead = { key, serial };
    return serial;
  } catch (error) {
    if (!signal.aborted)
      ports.logger.warn({ vm: vm.id, image: key, err: error }, "a warm VM has no image ahead");
    // what cannot be given back now is given back with the VM
    await vm.resources.undo(isLease).catch(() => undefined);
    return undefined;
  }
}

/** False if the image is not there any more. */
async function takeLease(
  { resources }: GuestVm,
  lease: Extract<HostResource, { kind: "image" }>,
  { images }: LastImagePorts,
): Promise<boolean> {
  let held = false;
  await resources.make(lease, async () => {
    held = (await images.hold(lease.key, lease.holder)) !== undefined;
  });
  return held;
}
