/**
 * What QEMU calls a VM's slots, and how it is told of them on its command line.
 *
 * A slot is a SCSI disk over a raw node that names its file by another node: a placeholder of zeros, or an image. Only that
 * name is changed when a slot is filled (blockdev-reopen). The placeholder needs no file on the host. It has the size of
 * every image that fits, so the guest never sees a size change.
 */
import { SLOT_BYTES } from "../../../contracts/images.ts";
import { SLOT_SERIALS } from "../../../protocol/guest/messages.ts";
import { type ScsiDisk, scsiDisk } from "./disk-names.ts";

/** What empty slots show. It belongs to the monitor, so it stays when no slot is empty. */
const PLACEHOLDER = "slot-empty";

/** The placeholder and a node for each slot, as `-blockdev` takes them. */
export function slotNodes(): Record<string, unknown>[] {
  const placeholder = {
    driver: "null-co",
    "node-name": PLACEHOLDER,
    size: SLOT_BYTES,
    "read-zeroes": true,
    "read-only": true,
  };
  return [placeholder, ...SLOT_SERIALS.map((serial) => slotNode(serial))];
}

/** A slot's node, as `blockdev-reopen` takes it: empty, or over the node of an image. */
export function slotNode(serial: string, file = PLACEHOLDER): Record<string, unknown> {
  return { driver: "raw", "node-name": serial, "read-only": true, file };
}

/** The disks of all slots. */
export function slotDevices(): ScsiDisk[] {
  return SLOT_SERIALS.map((serial) => scsiDisk(serial, serial));
}
