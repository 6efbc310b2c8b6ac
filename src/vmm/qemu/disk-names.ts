/**
 * What QEMU calls a disk and how it is told of one: the same on its command line and when one is plugged in.
 *
 * A disk is a raw image and a SCSI device, both named after the disk's id, which is the serial number that the
 * guest finds it by.
 */
import { createHash } from "node:crypto";
import { blazarError } from "../../contracts/errors.ts";
import type { VmDisk } from "../../contracts/vm.ts";

const VALID_ID = /^[a-z0-9-]{1,31}$/;

/** QEMU's id of the controller that all disks are on. */
export const DISK_CONTROLLER = "disks";

/** Throws InvalidArgument. */
export function diskNames(id: string): { readonly node: string; readonly device: string } {
  if (VALID_ID.test(id)) return { node: nodeName(id), device: `disk-${id}` };
  throw blazarError("InvalidArgument", "name a disk", "an id is 1 to 31 of a-z, 0-9 and -", { subject: id });
}

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

/** The device, as `device_add` takes it. */
export function scsiDisk(id: string): Record<string, string> {
  const { node, device } = diskNames(id);
  return {
    driver: "scsi-hd",
    bus: `${DISK_CONTROLLER}.0`,
    id: device,
    drive: node,
    serial: id,
    device_id: id,
  };
}
