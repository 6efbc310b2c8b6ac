/**
 * Ports on a running VM: QMP's chardev-add, device_add virtserialport and their undoing.
 *
 * QEMU gets a connected socket, since it can open no path. A failed attach takes the connection back out.
 */
import type { VmPort } from "../../contracts/vm.ts";
import { pause } from "../../lib/async.ts";
import { PORT_CONTROLLER, portNames } from "./port-names.ts";
import { type QmpClient, type QmpCommand, qmpRefusal } from "./qmp/client.ts";
import { type UnplugDeadlines, unplugDevice } from "./unplug.ts";

const BUSY_RETRY_MS = 5;

export async function attachPort(
  qmp: QmpClient,
  { name, socket }: VmPort,
  deadlines: UnplugDeadlines,
): Promise<void> {
  const { commandMs } = deadlines;
  const { device, connection } = portNames(name);
  const addr = { type: "fd", data: { str: connection } };
  const backend = { type: "socket", data: { addr, server: false } };
  const port = {
    driver: "virtserialport",
    bus: `${PORT_CONTROLLER}.0`,
    id: device,
    name,
    chardev: connection,
  };
  const commands: QmpCommand[] = [
    { command: "getfd", args: { fdname: connection } },
    { command: "chardev-add", args: { id: connection, backend } },
    { command: "device_add", args: port },
  ];
  try {
    await qmp.executeWithFile({ kind: "connection", path: socket }, commands, commandMs);
  } catch (error) {
    // with neither a connection of this name nor a descriptor, each says so
    await qmp.execute("closefd", { fdname: connection }, commandMs).catch(() => undefined);
    if (!isTaken(error)) await removeConnection(qmp, connection, deadlines).catch(() => undefined);
    throw error;
  }
}

export async function detachPort(qmp: QmpClient, name: string, deadlines: UnplugDeadlines): Promise<void> {
  const { device, connection } = portNames(name);
  await unplugDevice(qmp, device, deadlines);
  await removeConnection(qmp, connection, deadlines);
}

/** QEMU says that a device is gone a moment before it lets go of the device's connection. */
async function removeConnection(
  qmp: QmpClient,
  id: string,
  { commandMs, detachMs }: UnplugDeadlines,
): Promise<void> {
  const end = performance.now() + detachMs;
  for (;;) {
    try {
      await qmp.execute("chardev-remove", { id }, commandMs);
      return;
    } catch (error) {
      const description = qmpRefusal(error)?.description ?? "";
      if (description.includes("not found")) return;
      if (!description.includes("is busy") || performance.now() > end) throw error;
    }
    await pause(BUSY_RETRY_MS);
  }
}

/** The connection belongs to the port that has this name already. */
function isTaken(error: unknown): boolean {
  return qmpRefusal(error)?.description.includes("already exists") ?? false;
}
