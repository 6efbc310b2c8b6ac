/**
 * Taking a device out of a running VM: QMP's device_del, which is done only at DEVICE_DELETED.
 */
import { type BlazarError, blazarError } from "../../contracts/errors.ts";
import { deferred, withDeadline } from "../../lib/async.ts";
import { isRecord } from "../../protocol/wire/json.ts";
import { type QmpClient, type QmpEvent, qmpRefusal } from "./qmp/client.ts";

export interface UnplugDeadlines {
  /** For each command. */
  readonly commandMs: number;
  /** From device_del until the device is gone. */
  readonly detachMs: number;
}

/** Resolves when QEMU has let go of the device; a device that is not there is none. */
export async function unplugDevice(
  qmp: QmpClient,
  device: string,
  { commandMs, detachMs }: UnplugDeadlines,
): Promise<void> {
  const gone = deviceDeleted(qmp, device);
  try {
    const plugged = await unplug(qmp, device, commandMs);
    if (plugged) await withDeadline(gone.promise, detachMs, () => stillThere(device, detachMs));
  } finally {
    gone.forget();
  }
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
  return blazarError("DeadlineExceeded", "unplug a device", reason, { subject: device });
}
