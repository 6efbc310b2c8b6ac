/**
 * Volumes in the guest's memory: copies of small directories and files of the host, and tmpfs for pods.
 *
 * Each is a name below one directory. The host counts who uses it, writes it before its first container comes, changes it
 * while containers have it, and removes it after the last one. Changes of a container to a file of the host stay here, but
 * for those that the host asks for when the container has ended.
 */
import * as sys from "sys";
import { check, failure } from "../../../native/runtime/check.ts";
import { makeDirectories } from "../../../native/runtime/files.ts";
import { blazarError } from "../../../src/contracts/errors.ts";
import type { VolumeSwap, VolumeWrite } from "../../../src/protocol/guest/volumes.ts";
import { VOLUMES } from "../guest-paths.ts";
import { checkedVolumeName } from "../path-checks.ts";
import { PartWriter, removeTree, renameWithin } from "./parts.ts";

/** Of a file that the host gets back. Kubelet reads the last 4 KiB of a termination log. */
const RETURNED_BYTES = 64 * 1024;

export class Volumes {
  private mounted = false;
  /** Those that are a tmpfs of their own. */
  private readonly memories = new Set<string>();

  /** Makes volumes or writes more into them. Throws; what is written stays. */
  write({ volumes }: VolumeWrite): void {
    this.mountAll();
    const writer = new PartWriter(VOLUMES);
    try {
      for (const { name, bytes, parts } of volumes) {
        checkedVolumeName(name);
        if (bytes !== undefined) this.mountMemory(name, bytes);
        for (const part of parts) writer.write(name, part, this.memories.has(name) && part.path !== "");
      }
    } finally {
      writer.close();
    }
  }

  /** Renames, then removes. A name that is to be removed and is not there is no failure. */
  swap({ name, renames, removed }: VolumeSwap): void {
    checkedVolumeName(name);
    const volume = `${VOLUMES}/${name}`;
    for (const { from, to } of renames) renameWithin(volume, from, to);
    for (const path of removed) removeTree(volume, path);
  }

  remove(names: readonly string[]): void {
    for (const name of names) {
      checkedVolumeName(name);
      if (this.memories.delete(name)) sys.umount2(`${VOLUMES}/${name}`, sys.MNT_DETACH);
      removeTree(VOLUMES, name);
    }
  }

  /** The end of a volume that is a file, in base64; "" if it is empty, or no file. */
  tail(name: string): string {
    checkedVolumeName(name);
    const fd = sys.open(`${VOLUMES}/${name}`, sys.O_RDONLY | sys.O_NOFOLLOW | sys.O_NONBLOCK);
    if (fd < 0) return "";
    try {
      const stat = sys.fstat(fd);
      if (typeof stat === "number" || (stat.mode & sys.S_IFMT) !== sys.S_IFREG) return "";
      const length = Math.min(stat.size, RETURNED_BYTES);
      const bytes = new ArrayBuffer(length);
      const count = sys.pread(fd, bytes, 0, length, stat.size - length);
      return count <= 0 ? "" : sys.base64Encode(bytes, 0, count);
    } finally {
      sys.close(fd);
    }
  }

  private mountAll(): void {
    if (this.mounted) return;
    makeDirectories(VOLUMES);
    const result = sys.mount("volumes", VOLUMES, "tmpfs", 0, "mode=755");
    if (result < 0) throw failure(result, "MountFailed", "mount the volumes", VOLUMES);
    this.mounted = true;
  }

  private mountMemory(name: string, bytes: number): void {
    if (this.memories.has(name)) return;
    const path = `${VOLUMES}/${name}`;
    const made = sys.mkdir(path, 0o755);
    if (made === -sys.EEXIST)
      throw blazarError("IllegalTransition", "make a volume", "there is one of this name", { subject: name });
    check(made, "make a volume", name);
    const result = sys.mount("tmpfs", path, "tmpfs", 0, `mode=777,size=${bytes}`);
    if (result < 0) {
      sys.rmdir(path);
      throw failure(result, "MountFailed", "mount a volume in memory", name);
    }
    this.memories.add(name);
  }
}
