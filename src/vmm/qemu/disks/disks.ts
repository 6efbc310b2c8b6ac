/**
 * Disks on a running VM: QMP's blockdev-add, device_add scsi-hd and their undoing.
 *
 * QEMU gets an open file, since it can open no path. A failed attach takes the image back out. A detach is done only when QEMU has said so (DEVICE_DELETED, then blockdev-del):
 * before that, QEMU may still write to the image.
 */
import type { DiskFailed, VmDisk } from "../../../contracts/vm.ts";
import { pause } from "../../../lib/async.ts";
import { cutText } from "../../../lib/cut-text.ts";
import { type QmpClient, type QmpCommand, qmpRefusal } from "../qmp/client.ts";
import { type UnplugDeadlines, unplugDevice } from "../unplug.ts";
import { blockNode, diskNames, diskOfNode, scsiDisk } from "./disk-names.ts";
import { executeWithFile } from "./file-sets.ts";

export type DiskDeadlines = UnplugDeadlines;

/** How long a device that is gone may have its node. */
const MOST_IN_USE_MS = 5_000;
const IN_USE_POLL_MS = 10;
/** strerror(3) of ENOSPC and EDQUOT. */
const NO_SPACE = /no space left|quota exceeded/i;

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
  await removeNode(qmp, node, deadlines);
}

/**
 * Removes a node; one that is not there is none. A device has a node for a moment after QEMU has forgotten the device's name
 * (an RCU grace period): whoever has not heard DEVICE_DELETED, as after the daemon that did, finds the node in use.
 */
export async function removeNode(
  qmp: QmpClient,
  node: string,
  { commandMs, detachMs }: DiskDeadlines,
): Promise<void> {
  const patienceEnds = performance.now() + Math.min(detachMs, MOST_IN_USE_MS);
  for (;;) {
    try {
      await qmp.execute("blockdev-del", { "node-name": node }, commandMs);
      return;
    } catch (error) {
      if (isMissingNode(error)) return;
      if (!isInUse(error) || performance.now() >= patienceEnds) throw error;
    }
    await pause(IN_USE_POLL_MS);
  }
}

/** Characters of why a disk has failed, and of a node's name. */
const MOST_REASON = 256;
const MOST_NAME = 64;

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
  // both are kept, and a line may be half a megabyte
  const text = typeof reason === "string" ? cutText(reason, MOST_REASON) : "unknown";
  const noSpace = data["nospace"] === true || NO_SPACE.test(text);
  const name = typeof node === "string" ? cutText(node, MOST_NAME) : "";
  return { disk: diskOfNode(name, ids), operation, noSpace, reason: text };
}

function isInUse(error: unknown): boolean {
  return qmpRefusal(error)?.description.endsWith("is in use") ?? false;
}

/** Whether QEMU said that there is no node of this name. */
export function isMissingNode(error: unknown): boolean {
  return qmpRefusal(error)?.description.startsWith("Failed to find node") ?? false;
}
