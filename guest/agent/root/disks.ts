/**
 * Disks that the host plugs in: finds them by their SCSI serial number, mounts them, and tells when they are free again.
 *
 * The serial is in VPD page 0x80 of the device (SPC-4, unit serial number). A disk appears some milliseconds after the
 * host has plugged it in, so finding one waits for it. The driver finds the disks that are there when it is loaded, and
 * is told of those that come later.
 */
import * as sys from "sys";
import { failure } from "../../../native/runtime/check.ts";
import type { EventLoop } from "../../../native/runtime/event-loop.ts";
import { poll } from "../../../native/runtime/promises.ts";
import { decode } from "../../../native/runtime/text-codec.ts";
import { blazarError } from "../../../src/contracts/errors.ts";

const APPEARS_WITHIN_MS = 10_000;
/** The kernel tears a container's mount namespace down a moment after its last process has ended. */
const RELEASED_WITHIN_MS = 2_000;
const VPD_HEADER_BYTES = 4;
/**
 * ext4(5), and fs/ext4/super.c for the second option. The inode tables of an empty layer were never written, and writing
 * them would only fill the sparse file. Its bitmaps are empty, too; without the option, each mount would start a kernel
 * thread that reads all of them ahead, and goes on in every clone of a template.
 */
const EXT4_OPTIONS = "noinit_itable,no_prefetch_block_bitmaps";
const FILESYSTEM = /^[a-z0-9_]{1,32}$/;

/** The device file of the disk with this serial. Throws StorageFailed if none appears. */
export async function findDisk(loop: EventLoop, serial: string): Promise<string> {
  // the one that was plugged in last is mostly the one that is looked for
  const probe = (): string | undefined => scsiDevices().findLast((device) => serialOf(device) === serial);
  const device = await poll(loop, APPEARS_WITHIN_MS, probe);
  // the disk's own driver finds the device a while after the bus does
  const file = device && (await poll(loop, APPEARS_WITHIN_MS, () => fileOf(device)));
  if (file !== undefined) return file;
  throw blazarError(
    "StorageFailed",
    "find a disk",
    `no disk with this serial number appeared within ${APPEARS_WITHIN_MS} ms`,
    { subject: serial, remedy: "plug it in (device_add scsi-hd,serial=…) before the container is created" },
  );
}

/** The device file of a disk that is there already; undefined = there is none with this serial. */
export function presentDisk(serial: string): string | undefined {
  const device = scsiDevices().find((each) => serialOf(each) === serial);
  return device && fileOf(device);
}

/** Mounts a disk, read-only if it cannot be written to. Throws MountFailed. */
export function mountDisk(device: string, target: string, filesystem: string): void {
  const type = filesystem === "" ? "ext4" : filesystem;
  if (!FILESYSTEM.test(type)) {
    const reason = "this is not the name of a filesystem";
    throw blazarError("InvalidRootfs", "mount a disk", reason, { subject: filesystem });
  }
  const flags = sys.MS_NOATIME | sys.MS_NODIRATIME;
  const data = type === "ext4" ? EXT4_OPTIONS : null;
  let result = sys.mount(device, target, type, flags, data);
  if (result === -sys.EROFS || result === -sys.EACCES) {
    result = sys.mount(device, target, type, flags | sys.MS_RDONLY, data);
  }
  if (result < 0) throw failure(result, "MountFailed", `mount a disk as ${type}`, device);
}

/** Resolves once no mount holds the disk, so that the host may unplug it; false if one still does. */
export async function diskReleased(loop: EventLoop, device: string): Promise<boolean> {
  const released = await poll(loop, RELEASED_WITHIN_MS, () => (isFree(device) ? true : undefined));
  return released ?? false;
}

/** Whether no mount holds the disk. */
export function isFree(device: string): boolean {
  // the kernel refuses an exclusive open of a mounted disk
  const fd = sys.open(device, sys.O_RDONLY | sys.O_EXCL);
  if (fd >= 0) sys.close(fd);
  return fd !== -sys.EBUSY;
}

/** The addresses of all SCSI devices, such as `0:0:1:0`. */
function scsiDevices(): string[] {
  const names = sys.readdir("/sys/bus/scsi/devices");
  return typeof names === "number" ? [] : names.filter((name) => /^\d+:\d+:\d+:\d+$/.test(name));
}

/** The device's file, once it can be opened: that is a moment after the kernel has made it. */
function fileOf(device: string): string | undefined {
  const names = sys.readdir(`/sys/bus/scsi/devices/${device}/block`);
  if (typeof names === "number" || names[0] === undefined) return undefined;
  const file = `/dev/${names[0]}`;
  const fd = sys.open(file, sys.O_RDONLY);
  if (fd < 0) return undefined;
  sys.close(fd);
  return file;
}

function serialOf(device: string): string {
  const page = sys.readFileBytes(`/sys/bus/scsi/devices/${device}/vpd_pg80`, 4096);
  if (typeof page === "number") return "";
  return decode(new Uint8Array(page).subarray(VPD_HEADER_BYTES)).replaceAll("\0", "").trim();
}
