/**
 * The key of a chain of layers: a hash that never names other content (docs/adr/0010).
 *
 * A layer is known by its path, its file system's type, and its directory's inode number, birth time and time of change
 * (statx(2)). A snapshot that is removed and made again has other times, even where path and inode number come again.
 * Must not read what is in a layer: that would take longer than the start that asks.
 */
import { createHash } from "node:crypto";
import { readFile, stat, statfs } from "node:fs/promises";
import { type BlazarError, blazarError, reasonOf } from "../../../contracts/errors.ts";

/** Changes whenever images of the same layers come out otherwise. */
const FORMAT = "blazar-image-2";

/** Local file systems that survive a reboot with all times and numbers as they were: statfs(2). */
const LASTING = new Set([
  0xef53, // ext2, ext3, ext4
  0x58465342, // xfs
  0x9123683e, // btrfs
  0xf2f52010, // f2fs
  0x2fc12fc1, // zfs
  0xca451a4e, // bcachefs
]);
/** Their files may change, or come over a network, without a word to this host: fuse, nfs, smb, 9p, ceph. */
const FOREIGN = new Set([0x65735546, 0x6969, 0xff534d42, 0xfe534d42, 0x517b, 0x01021997, 0x00c36400]);

const OPERATION = "name the layers' image";

let bootId: Promise<string> | undefined;

/**
 * The key of these layers, the topmost first.
 * @throws BlazarError InvalidRootfs: a layer is missing or no directory, or its file system cannot vouch for it
 */
export async function chainKey(lower: readonly string[]): Promise<string> {
  const layers = await Promise.all(lower.map(identity));
  return createHash("sha256")
    .update(JSON.stringify([FORMAT, ...layers]))
    .digest("hex");
}

async function identity(layer: string): Promise<readonly string[]> {
  const [{ type }, found] = await Promise.all([statfs(layer), stat(layer, { bigint: true })]).catch(
    (cause: unknown) => {
      throw unusable(layer, reasonOf(cause), cause);
    },
  );
  if (!found.isDirectory()) throw unusable(layer, "it is not a directory");
  if (FOREIGN.has(type)) throw unusable(layer, "its file system does not say when a file was changed");
  const { ino, birthtimeNs, ctimeNs } = found;
  // where no birth time is known it is 0, or Node's stand-in: the time of change still tells two incarnations apart
  const times = [birthtimeNs, ctimeNs].map(String);
  // Numbers and clocks of a tmpfs may start anew with each boot.
  const boot = LASTING.has(type) ? "" : await currentBoot();
  return [layer, type.toString(16), boot, String(ino), ...times];
}

/** Differs from boot to boot; random(4). */
export function currentBoot(): Promise<string> {
  bootId ??= readFile("/proc/sys/kernel/random/boot_id", "latin1").then((text) => text.trim());
  return bootId;
}

function unusable(subject: string, reason: string, cause?: unknown): BlazarError {
  return blazarError("InvalidRootfs", OPERATION, reason, { subject, cause });
}
