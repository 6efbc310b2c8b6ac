/**
 * Ports on a running VM: QMP's chardev-add, device_add virtserialport and their undoing.
 *
 * QEMU gets a connected socket, since it can open no path. A failed attach takes the connection back out.
 */
import type { VmPort } from "../../contracts/vm.ts";
import type { DiskDeadlines } from "./disks.ts";
import { PORT_CONTROLLER, portNames } from "./port-names.ts";
import { type QmpClient, type QmpCommand, qmpRefusal } from "./qmp/client.ts";
import { unplugDevice } from "./unplug.ts";

export async function attachPort(
  qmp: QmpClient,
  { name, socket }: VmPort,
  { commandMs }: DiskDeadlines,
): Promise<void> {
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
    if (!isTaken(error)) await removeConnection(qmp, connection, commandMs).catch(() => undefined);
    throw error;
  }
}

export async function detachPort(qmp: QmpClient, name: string, deadlines: DiskDeadlines): Promise<void> {
  const { device, connection } = portNames(name);
  await unplugDevice(qmp, device, deadlines);
  await removeConnection(qmp, connection, deadlines.commandMs);
}

async function removeConnection(qmp: QmpClient, id: string, deadlineMs: number): Promise<void> {
  await qmp.execute("chardev-remove", { id }, deadlineMs).catch((error: unknown) => {
    if (!(qmpRefusal(error)?.description.includes("not found") ?? false)) throw error;
  });
}

/** The connection belongs to the port that has this name already. */
function isTaken(error: unknown): boolean {
  return qmpRefusal(error)?.description.includes("already exists") ?? false;
}
