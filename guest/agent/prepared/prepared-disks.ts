/**
 * Writable layers that are mounted before their container is known: in warm machines and in templates.
 *
 * Finding a disk and mounting its filesystem is most of what a container's start costs an emulated guest. Each prepared
 * mount is given to one container, once; a disk that was not prepared, or could not be, is found and mounted by the
 * container itself (rootfs.ts). No disk is ever given to two containers.
 */
import * as sys from "sys";
import { check } from "../../../native/runtime/check.ts";
import type { EventLoop } from "../../../native/runtime/event-loop.ts";
import { makeDirectories, withFile, writeText } from "../../../native/runtime/files.ts";
import type { Logger } from "../../../native/runtime/log.ts";
import { type BlazarError, blazarError } from "../../../src/contracts/errors.ts";
import type { DiskPrepare } from "../../../src/protocol/guest/messages.ts";
import { DISKS } from "../guest-paths.ts";
import { findDisk, mountDisk } from "../root/disks.ts";
import { UndoList } from "../undo-list.ts";
import { makeFilePlaces } from "./file-mount-points.ts";

/** What the overlay of a container finds in its writable layer; overlay's own names for them. */
export const LAYER_DIRECTORIES = ["upper", "work"] as const;
/** As the host's ids of disks are; it becomes part of a path here. */
const SERIAL = /^[a-z0-9-]{1,31}$/;
/** More than an inode can hold by itself. */
const FIRST_WRITE = "x".repeat(4096);

export interface PreparedDisk {
  readonly device: string;
  /** Where it is mounted. */
  readonly path: string;
  /** It has places for the sandbox's files; see file-places.ts. */
  readonly places: boolean;
}

/** What finding disks takes. */
export interface DiskTools {
  readonly loop: EventLoop;
  readonly logger: Logger;
  /** Resolves when disks can be used. */
  readonly disksReady: Promise<void>;
}

export class PreparedDisks {
  private readonly prepared = new Map<string, Promise<PreparedDisk>>();
  private readonly claimed = new Set<string>();

  constructor(private readonly tools: DiskTools) {}

  /** Waits for the disk, mounts it and makes it ready for an overlay. Throws, leaving nothing. */
  async prepare({ diskSerial, filesystem }: DiskPrepare): Promise<void> {
    if (!SERIAL.test(diskSerial)) {
      const reason = "a serial number is 1 to 31 of a-z, 0-9 and -";
      throw blazarError("InvalidArgument", "prepare a disk", reason, { subject: diskSerial });
    }
    if (this.prepared.has(diskSerial)) throw notFree("prepare a disk", diskSerial, "it is prepared already");
    if (this.claimed.has(diskSerial)) throw notFree("prepare a disk", diskSerial, "a container uses it");
    const work = prepare(this.tools, diskSerial, filesystem);
    this.prepared.set(diskSerial, work);
    try {
      await work;
    } catch (error) {
      this.prepared.delete(diskSerial);
      throw error;
    }
  }

  /**
   * Gives a disk to a container, until {@link release}. Undefined = it is not prepared and is the container's to find.
   * Throws IllegalTransition if another one has it.
   */
  async claim(serial: string): Promise<PreparedDisk | undefined> {
    if (this.claimed.has(serial)) throw notFree("use a disk", serial, "another container uses it");
    this.claimed.add(serial);
    const prepared = this.prepared.get(serial);
    // one that could not be prepared has told its own caller why
    const disk = await prepared?.catch(() => undefined);
    this.prepared.delete(serial);
    return disk;
  }

  release(serial: string): void {
    this.claimed.delete(serial);
  }
}

async function prepare(tools: DiskTools, serial: string, filesystem: string): Promise<PreparedDisk> {
  const undo = new UndoList(tools.logger);
  try {
    await tools.disksReady;
    const device = await findDisk(tools.loop, serial);
    const path = `${DISKS}/${serial}`;
    makeDirectories(path);
    undo.add("remove the disk's directory", () => void sys.rmdir(path));
    mountDisk(device, path, filesystem);
    undo.add("unmount the disk", () => void sys.umount2(path, sys.MNT_DETACH));
    return { device, path, places: useOnce(path) };
  } catch (error) {
    await undo.run();
    throw error;
  }
}

/**
 * Has the filesystem read what the first writes of a container need: bitmaps, inode tables, directories.
 * @returns whether it has places for the sandbox's files
 */
function useOnce(path: string): boolean {
  for (const name of LAYER_DIRECTORIES) makeDirectories(`${path}/${name}`);
  for (const name of LAYER_DIRECTORIES) {
    const file = `${path}/${name}/first`;
    writeText(file, FIRST_WRITE);
    withFile(file, sys.O_RDONLY, (fd) => check(sys.fsync(fd), "write to the disk", file));
    check(sys.unlink(file), "write to the disk", file);
  }
  const places = makeFilePlaces(`${path}/upper`);
  // nothing is left to be written behind: a template is taken of the machine as it is
  withFile(path, sys.O_RDONLY, (fd) => check(sys.syncfs(fd), "write to the disk", path));
  return places;
}

function notFree(operation: string, subject: string, reason: string): BlazarError {
  return blazarError("IllegalTransition", operation, reason, { subject });
}
