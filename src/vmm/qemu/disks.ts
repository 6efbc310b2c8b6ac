/**
 * Disks on a running VM: QMP's blockdev-add, device_add scsi-hd and their undoing.
 *
 * QEMU gets an open file, since it can open no path. A failed attach takes the image back out. A detach is done only when QEMU has said so (DEVICE_DELETED, then blockdev-del):
 * before that, QEMU may still write to the image.
 */
import type { VmDisk } from "../../contracts/vm.ts";
import { blockNode, diskNames, scsiDisk } from "./disk-names.ts";
import { executeWithFile } from "./file-sets.ts";
import { type QmpClient, type QmpCommand, qmpRefusal } from "./qmp/client.ts";
import { type UnplugDeadlines, unplugDevice } from "./unplug.ts";

export type DiskDeadlines = UnplugDeadlines;

export async function attachDisk(qmp: QmpClient, disk: VmDisk, deadlines: DiskDeadlines): Promise<void> {
  const { commandMs } = deadlines;
  const { node } = diskNames(disk.id);
  const commands = (path: string): QmpCommand[] => [
    { command: "blockdev-add", args: blockNode({ ...disk, path }) },
    { command: "device_add", args: scsiDisk(disk.id) },
  ];
  try {
    await executeWithFile(qmp, disk, commands, commandMs);
  } catch (error) {
    if (!isTaken(error))
      await qmp.execute("blockdev-del", { "node-name": node }, commandMs).catch(() => undefined);
    throw error;
  }
}

/** The node belongs to the disk that has this id already. */
function isTaken(error: unknown): boolean {
  return qmpRefusal(error)?.description.startsWith("Duplicate nodes") ?? false;
}

export async function detachDisk(qmp: QmpClient, id: string, deadlines: DiskDeadlines): Promise<void> {
  const { node, device } = diskNames(id);
  await unplugDevice(qmp, device, deadlines);
  await qmp.execute("blockdev-del", { "node-name": node }, deadlines.commandMs).catch((error: unknown) => {
    if (!isMissingNode(error)) throw error;
  });
}

function isMissingNode(error: unknown): boolean {
  return qmpRefusal(error)?.description.startsWith("Failed to find node") ?? false;
}
