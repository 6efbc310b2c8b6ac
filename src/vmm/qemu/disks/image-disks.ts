/**
 * Images in a running VM: each in a slot, or plugged in where no slot is free (QMP: blockdev-add, blockdev-reopen).
 *
 * A slot is filled and emptied without the guest being told, so its guest must not have the slot mounted meanwhile. QEMU
 * handles commands in their order; they are sent without waiting for one another. A slot that could not be emptied stays
 * taken.
 */
import { stat } from "node:fs/promises";
import { blazarError, reasonOf } from "../../../contracts/errors.ts";
import { SLOT_BYTES } from "../../../contracts/images.ts";
import type { VmImage } from "../../../contracts/vm.ts";
import { SLOT_SERIALS } from "../../../protocol/guest/messages.ts";
import type { QmpClient, QmpCommand } from "../qmp/client.ts";
import { diskNames } from "./disk-names.ts";
import { attachDisk, type DiskDeadlines, detachDisk, isMissingNode } from "./disks.ts";
import { executeWithFile } from "./file-sets.ts";
import { slotNode } from "./slot-names.ts";

/** Nobody writes to an image, so nobody has to lock it. */
const IMAGE = { driver: "file", "read-only": true, locking: "off" };
const SLOTS: ReadonlySet<string> = new Set(SLOT_SERIALS);

export class ImageDisks {
  private readonly free: Set<string>;

  /** @param filled slot → the node of the image in it */
  constructor(
    private readonly qmp: QmpClient,
    private readonly deadlines: DiskDeadlines,
    private readonly filled = new Map<string, string>(),
  ) {
    this.free = new Set(SLOT_SERIALS.filter((slot) => !filled.has(slot)));
  }

  /** As `Vm.attachImage`. Throws StorageFailed, InvalidArgument, QmpFailed, DeadlineExceeded. */
  async attach(image: VmImage, chosen?: (serial: string) => void): Promise<string> {
    const { size } = await stat(image.path).catch((cause: unknown) => {
      throw blazarError("StorageFailed", "attach an image", reasonOf(cause), { subject: image.path, cause });
    });
    // always the first: the guest has used it before
    const slot = SLOT_SERIALS.find((each) => this.free.has(each));
    if (slot === undefined || size !== SLOT_BYTES) return this.plugIn(image);
    this.free.delete(slot);
    const filled = this.fill(slot, image);
    chosen?.(slot);
    await filled;
    return slot;
  }

  async detach(serial: string): Promise<void> {
    if (!SLOTS.has(serial)) return detachDisk(this.qmp, serial, this.deadlines);
    const node = this.filled.get(serial);
    if (node !== undefined) await this.empty(serial, node);
  }

  private async plugIn({ id, path }: VmImage): Promise<string> {
    await attachDisk(this.qmp, { id, path, readonly: true }, this.deadlines);
    return id;
  }

  private async fill(slot: string, image: VmImage): Promise<void> {
    const { node } = diskNames(image.id);
    this.filled.set(slot, node);
    const commands = (filename: string): QmpCommand[] => [
      { command: "blockdev-add", args: { ...IMAGE, "node-name": node, filename } },
      { command: "blockdev-reopen", args: { options: [slotNode(slot, node)] } },
    ];
    try {
      const file = { path: image.path, readonly: true };
      await executeWithFile(this.qmp, file, commands, this.deadlines.commandMs);
    } catch (error) {
      // the slot is free again unless QEMU does not answer
      await this.empty(slot, node).catch(() => undefined);
      throw error;
    }
  }

  private async empty(slot: string, node: string): Promise<void> {
    const [reopened, deleted] = await Promise.allSettled([
      this.command("blockdev-reopen", { options: [slotNode(slot)] }),
      this.command("blockdev-del", { "node-name": node }),
    ]);
    if (reopened.status === "rejected") throw reopened.reason;
    if (deleted.status === "rejected" && !isMissingNode(deleted.reason)) throw deleted.reason;
    this.filled.delete(slot);
    this.free.add(slot);
  }

  private command(name: string, args: Record<string, unknown>): Promise<unknown> {
    return this.qmp.execute(name, args, this.deadlines.commandMs);
  }
}
