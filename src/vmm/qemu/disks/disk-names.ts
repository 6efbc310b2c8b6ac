/**
 * What QEMU calls a disk and how it is told of one: the same on its command line and when one is plugged in.
 *
 * A disk is a raw image and a SCSI device, both named after the disk's id. The guest finds it by that id, which is its
 * serial number.
 */
import { createHash } from "node:crypto";
import type { VmDisk } from "../../../contracts/vm.ts";
import { checkDiskId } from "../../common/spec.ts";

/** QEMU's id of the controller that all disks are on. */
export const DISK_CONTROLLER = "disks";

/** Throws InvalidArgument. */
export function diskNames(id: string): { readonly node: string; readonly device: string } {
  checkDiskId(id);
  return { node: nodeName(id), device: `${DEVICE}${id}` };
}

const DEVICE = "disk-";

/** The id of a disk by its device's name. Undefined: it is none of ours. */
export function diskOfDevice(device: string): string | undefined {
  return device.startsWith(DEVICE) ? device.slice(DEVICE.length) : undefined;
}

/** Whether a disk's or an image's node has such a name. */
export function isDiskNode(node: string): boolean {
  return NODE.test(node);
}

/** Which of these disks an event of QEMU's is about; the name of the node if it is none of them. */
export function diskOfNode(node: string, ids: Iterable<string>): string {
  for (const id of ids) if (nodeName(id) === node) return id;
  return node;
}

const NODE = /^n[0-9a-f]{30}$/;

/** QEMU allows 31 characters and a letter first, so the id itself does not fit. */
function nodeName(id: string): string {
  return `n${createHash("sha256").update(id).digest("hex").slice(0, 30)}`;
}

/** The image, as `blockdev-add` takes it. */
export function blockNode({ id, path, readonly }: VmDisk): Record<string, unknown> {
  return {
    driver: "raw",
    "node-name": diskNames(id).node,
    "read-only": readonly,
    // blocks that the guest frees are punched out of the sparse image
    discard: "unmap",
    file: { driver: "file", filename: path, "read-only": readonly, discard: "unmap" },
  };
}

/** Properties of a disk's device, by QEMU's names. */
export type ScsiDisk = Readonly<
  Record<"driver" | "bus" | "id" | "drive" | "serial" | "device_id" | "werror" | "rerror", string>
>;

/**
 * The device, as `device_add` takes it.
 * @param drive the node that it shows; default: the image of this disk
 */
export function scsiDisk(id: string, drive = diskNames(id).node): ScsiDisk {
  const { device } = diskNames(id);
  return {
    driver: "scsi-hd",
    bus: `${DISK_CONTROLLER}.0`,
    id: device,
    drive,
    serial: id,
    device_id: id,
    // the guest gets an error of the host's (ENOSPC, EIO) and goes on; by default QEMU would halt it for good at ENOSPC
    werror: "report",
    rerror: "report",
  };
}
