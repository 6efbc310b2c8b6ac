/**
 * The space of a writable layer while a container has it: how much it may take, and what it gives back to the host.
 *
 * The bound is ext4's count of reserved clusters (kernel: fs/ext4/sysfs.c): only metadata may use these. The free space is
 * discarded by FITRIM some seconds after files were deleted, and not by ext4's mount option `discard`: that one
 * waits for the host at each file that is deleted. Discarding is best effort; a bound that cannot be set is an error.
 */
import * as sys from "sys";
import { failure } from "../../../native/runtime/check.ts";
import type { EventLoop, Timer } from "../../../native/runtime/event-loop.ts";
import { withFile } from "../../../native/runtime/files.ts";
import { nextPass } from "../../../native/runtime/promises.ts";

/** containerd asks for a snapshot's usage as often. */
const LOOK_EVERY_MS = 10_000;
/** Shorter runs of free blocks stay allocated on the host: each one costs a round trip. */
const LEAST_BYTES = 64 * 1024;
/** A file that was written and deleted between two looks shows as nothing but writes. */
const WRITTEN_BYTES = 1024 * 1024;
/** One group of ext4 with blocks of 4 KiB: the kernel remembers which groups it has nothing to do for. */
const STEP_BYTES = 128 * 1024 * 1024;
const SECTOR_BYTES = 512;
/** Documentation/block/stat.rst: the field "write sectors". */
const WRITE_SECTORS = 6;

/** Lets at most `bytes` of the file system be used, its own metadata not counted. Throws StorageFailed. */
export function boundLayer(device: string, path: string, bytes: number): void {
  const space = spaceOf(path);
  const reserved = space.blocks - Math.floor(bytes / space.blockSize);
  const file = `/sys/fs/ext4/${nameOf(device)}/reserved_clusters`;
  const now = sys.readFile(file, 64);
  if (typeof now === "number") throw failure(now, "StorageFailed", "bound a writable layer", file);
  // what the file system reserves by itself is more than this bound would
  if (reserved <= Number(now)) return;
  const written = sys.writeFile(file, String(reserved), sys.O_WRONLY);
  if (written < 0) throw failure(written, "StorageFailed", "bound a writable layer", file);
}

/** Discards what becomes free on a mounted disk, until it is stopped. Its file system is not held between two looks. */
export class FreeSpace {
  private timer: Timer | undefined;
  private stopped = false;
  /** The fewest free bytes, and the bytes written, since the last discard. */
  private fewest: number;
  private written: number;

  constructor(
    private readonly loop: EventLoop,
    private readonly device: string,
    private readonly path: string,
  ) {
    this.fewest = this.free();
    this.written = this.bytesWritten();
    this.lookLater();
  }

  stop(): void {
    this.stopped = true;
    this.timer?.cancel();
  }

  private lookLater(): void {
    if (!this.stopped) this.timer = this.loop.setTimer(LOOK_EVERY_MS, () => this.look());
  }

  private look(): void {
    const free = this.free();
    this.fewest = Math.min(this.fewest, free);
    const freed = free - this.fewest;
    const written = this.bytesWritten() - this.written;
    if (freed < LEAST_BYTES && written < WRITTEN_BYTES) return this.lookLater();
    this.fewest = free;
    this.written += written;
    // what failed now may work the next time
    const again = (): void => this.lookLater();
    void this.discard().then(again, again);
  }

  /** Goes through the disk in steps, so that the agent does other things between two of them. */
  private async discard(): Promise<void> {
    const end = numbersIn(`/sys/block/${nameOf(this.device)}/size`)[0] ?? 0;
    for (let start = 0; start < end * SECTOR_BYTES && !this.stopped; start += STEP_BYTES) {
      const flags = sys.O_RDONLY | sys.O_DIRECTORY;
      const done = withFile(this.path, flags, (fd) => sys.fitrim(fd, start, STEP_BYTES, LEAST_BYTES));
      // this disk cannot: there is no use in asking again
      if (done === -sys.EOPNOTSUPP || done === -sys.ENOTTY) return this.stop();
      if (done < 0) return;
      await nextPass(this.loop);
    }
  }

  private free(): number {
    const space = sys.statfs(this.path);
    return typeof space === "number" ? 0 : space.blocksFree * space.blockSize;
  }

  private bytesWritten(): number {
    const sectors = numbersIn(`/sys/block/${nameOf(this.device)}/stat`)[WRITE_SECTORS] ?? 0;
    return sectors * SECTOR_BYTES;
  }
}

function spaceOf(path: string): sys.StatFs {
  const space = sys.statfs(path);
  if (typeof space !== "number") return space;
  throw failure(space, "StorageFailed", "ask for the space of a writable layer", path);
}

/** `/dev/sda` → `sda`. */
function nameOf(device: string): string {
  return device.slice(device.lastIndexOf("/") + 1);
}

/** The numbers of a file of the kernel's; none if it cannot be read. */
function numbersIn(file: string): number[] {
  const text = sys.readFile(file, 4096);
  return typeof text === "number" ? [] : text.trim().split(/\s+/).map(Number);
}
