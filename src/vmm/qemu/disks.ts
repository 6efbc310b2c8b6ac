/**
 * Disks on a running VM: QMP's blockdev-add, device_add scsi-hd and their undoing.
 *
 * A failed attach takes the image back out. A detach is done only when QEMU has said so (DEVICE_DELETED, then blockdev-del):
 * before that, QEMU may still write to the image.
 */
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import type { DiskFailed, VmDisk } from "../../contracts/vm.ts";
import { deferred, withDeadline } from "../../lib/async.ts";
import { isRecord } from "../../protocol/wire/json.ts";
import { blockNode, diskNames, diskOfNode, scsiDisk } from "./disk-names.ts";
import { type QmpClient, type QmpEvent, qmpRefusal } from "./qmp/client.ts";

export interface DiskDeadlines {
  /** For each command. */
  readonly commandMs: number;
  /** From device_del until the device is gone. */
  readonly detachMs: number;
}

/** strerror(3) of ENOSPC and EDQUOT. */
const NO_SPACE = /no space left|quota exceeded/i;

export async function attachDisk(qmp: QmpClient, disk: VmDisk, deadlines: DiskDeadlines): Promise<void> {
  const { commandMs } = deadlines;
  const { node } = diskNames(disk.id);
  await qmp.execute("blockdev-add", blockNode(disk), commandMs);
  try {
    await qmp.execute("device_add", scsiDisk(disk.id), commandMs);
  } catch (error) {
    await qmp.execute("blockdev-del", { "node-name": node }, commandMs).catch(() => undefined);
    throw error;
  }
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

/**
 * What a BLOCK_IO_ERROR says (QEMU's qapi/block-core.json). Undefined if it says nothing that is understood. QEMU leaves
 * `nospace` out where the guest is not halted, so that the reason has to tell.
 * @param ids of the disks that were attached
 */
export function diskFailure(
  data: Readonly<Record<string, unknown>>,
  ids: Iterable<string>,
): Omit<DiskFailed, "type"> | undefined {
  const { operation, reason, "node-name": node } = data;
  if (operation !== "read" && operation !== "write") return undefined;
  const text = typeof reason === "string" ? reason : "unknown";
  const noSpace = data["nospace"] === true || NO_SPACE.test(text);
  return { disk: diskOfNode(typeof node === "string" ? node : "", ids), operation, noSpace, reason: text };
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
