/**
 * Disks on a running VM: QMP's blockdev-add, device_add scsi-hd and their undoing.
 *
 * QEMU gets an open file, since it can open no path. A failed attach takes the image back out. A detach is done only when QEMU has said so (DEVICE_DELETED, then blockdev-del):
 * before that, QEMU may still write to the image.
 */
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import type { VmDisk } from "../../contracts/vm.ts";
import { deferred, withDeadline } from "../../lib/async.ts";
import { isRecord } from "../../protocol/wire/json.ts";
import { blockNode, diskNames, scsiDisk } from "./disk-names.ts";
import { executeWithFile } from "./file-sets.ts";
import { type QmpClient, type QmpCommand, type QmpEvent, qmpRefusal } from "./qmp/client.ts";

export interface DiskDeadlines {
  /** For each command. */
  readonly commandMs: number;
  /** From device_del until the device is gone. */
  readonly detachMs: number;
}

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
  const { detachMs } = deadlines;
  const gone = deviceDeleted(qmp, device);
  try {
    const plugged = await unplug(qmp, device, deadlines.commandMs);
    if (plugged) await withDeadline(gone.promise, detachMs, () => stillThere(device, detachMs));
  } finally {
    gone.forget();
  }
  await qmp.execute("blockdev-del", { "node-name": node }, deadlines.commandMs).catch((error: unknown) => {
    if (!isMissingNode(error)) throw error;
  });
}

/** False if there is no such device. */
async function unplug(qmp: QmpClient, device: string, deadlineMs: number): Promise<boolean> {
  try {
    await qmp.execute("device_del", { id: device }, deadlineMs);
    return true;
  } catch (error) {
    const refusal = qmpRefusal(error);
    if (refusal?.class === "DeviceNotFound") return false;
    // an earlier attempt has passed its deadline: wait for the same end
    if (refusal?.description.includes("in the process of unplug") === true) return true;
    throw error;
  }
}

function isMissingNode(error: unknown): boolean {
  return qmpRefusal(error)?.description.startsWith("Failed to find node") ?? false;
}

/** Listens for a device's end; `forget` whatever comes. */
function deviceDeleted(qmp: QmpClient, device: string): { promise: Promise<void>; forget(): void } {
  const { promise, resolve, reject } = deferred<void>();
  const subscription = qmp.events$.subscribe({
    next: (event) => {
      if (isDeletionOf(event, device)) resolve();
    },
    complete: () => void qmp.closed.then(reject),
  });
  return { promise, forget: () => subscription.unsubscribe() };
}

function isDeletionOf(event: QmpEvent, device: string): boolean {
  return event.event === "DEVICE_DELETED" && isRecord(event.data) && event.data["device"] === device;
}

function stillThere(device: string, deadlineMs: number): BlazarError {
  const reason = `QEMU still had it after ${deadlineMs} ms`;
  return blazarError("DeadlineExceeded", "unplug a disk", reason, { subject: device });
}
