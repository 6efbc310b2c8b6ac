/**
 * Prepared disks: writable layers that are mounted before their container is known, in warm VMs and in templates.
 *
 * Finding a disk and mounting its filesystem is most of what a container's start costs an emulated guest. Each prepared
 * disk is given to one container, once. A disk that is not prepared is found and mounted when its container is created
 * (root/mount-root.ts). No disk is ever given to two containers.
 */
import * as sys from "sys";
import { check } from "../../../native/runtime/check.ts";
import type { EventLoop } from "../../../native/runtime/event-loop.ts";
import { makeDirectories, withFile, writeText } from "../../../native/runtime/files.ts";
import type { Logger } from "../../../native/runtime/log.ts";
import { type BlazarError, blazarError } from "../../../src/contracts/errors.ts";
import type { DiskPrepare } from "../../../src/protocol/guest/messages.ts";
import { DISKS } from "../guest-paths.ts";
import { checkedSerial } from "../path-checks.ts";
import { findDisk, mountDisk } from "../root/disks.ts";
import { UndoList } from "../undo-list.ts";
import { makeFileMountPoints } from "./file-mount-points.ts";

/** The directories in a writable layer that overlayfs needs, by overlayfs's names. */
export const LAYER_DIRECTORIES = ["upper", "work"] as const;
/** More bytes than fit into an inode, so that a data block is allocated. */
const FIRST_WRITE = "x".repeat(4096);

export interface PreparedDisk {
  readonly device: string;
  /** Where it is mounted. */
  readonly path: string;
  /** Whether its upper directory has mount points for the sandbox's files (file-mount-points.ts). */
  readonly mountPoints: boolean;
}

/** What preparing a disk needs. */
export interface DiskTools {
  readonly loop: EventLoop;
  readonly logger: Logger;
  /** Resolves when the kernel modules for disks are loaded. */
  readonly disksReady: Promise<void>;
}

export class PreparedDisks {
  private readonly prepared = new Map<string, Promise<PreparedDisk>>();
  private readonly claimed = new Set<string>();

  constructor(private readonly tools: DiskTools) {}

  /** Waits for the disk to appear, mounts it and prepares it for an overlay. Throws, leaving nothing. */
  async prepare({ diskSerial, filesystem }: DiskPrepare): Promise<void> {
    checkedSerial(diskSerial);
    if (this.prepared.has(diskSerial))
      throw notFree("prepare a disk", diskSerial, "the disk is prepared already");
    if (this.claimed.has(diskSerial))
      throw notFree("prepare a disk", diskSerial, "a container uses the disk");
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
   * Gives a disk to a container, until {@link release}. Undefined if the disk is not prepared: then the caller has to find
   * and mount it. Throws IllegalTransition if another container has the disk.
   */
  async claim(serial: string): Promise<PreparedDisk | undefined> {
    if (this.claimed.has(serial)) throw notFree("use a disk", serial, "another container uses the disk");
    this.claimed.add(serial);
    const prepared = this.prepared.get(serial);
    // a failed preparation has been reported to the host that asked for it
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
    return { device, path, mountPoints: useOnce(path) };
  } catch (error) {
    await undo.run();
    throw error;
  }
}

/**
 * Writes once to the filesystem, so that it reads now what a container's first writes need: bitmaps, inode tables,
 * directories. Also makes mount points for the sandbox's files.
 * @returns whether it made them
 */
function useOnce(path: string): boolean {
  for (const name of LAYER_DIRECTORIES) makeDirectories(`${path}/${name}`);
  for (const name of LAYER_DIRECTORIES) {
    const file = `${path}/${name}/first`;
    writeText(file, FIRST_WRITE);
    withFile(file, sys.O_RDONLY, (fd) => check(sys.fsync(fd), "write to the disk", file));
    check(sys.unlink(file), "write to the disk", file);
  }
  const made = makeFileMountPoints(`${path}/upper`);
  // nothing may be left to be written later: a template contains the guest as it is now
  withFile(path, sys.O_RDONLY, (fd) => check(sys.syncfs(fd), "write to the disk", path));
  return made;
}

function notFree(operation: string, subject: string, reason: string): BlazarError {
  return blazarError("IllegalTransition", operation, reason, { subject });
}
