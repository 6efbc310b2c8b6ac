/**
 * Finds the disks behind layers that are EROFS file systems mounted on the host, as containerd's `erofs` snapshotter has
 * them: an overlay whose lowerdirs are mount points (plugins/snapshots/erofs; since 2.2 its mount manager mounts them).
 *
 * The mount table says which file a layer is of: the mount's source, or the file of its loop device. The superblock
 * (Documentation/filesystems/erofs.rst) says whether that file is the whole of it. Must not open a layer's files.
 */
import { open, readFile, stat, statfs } from "node:fs/promises";
import { type MountEntry, parseMountinfo } from "../../workers/mounts/mountinfo.ts";

/** statfs(2)'s f_type, and the superblock's first field. */
const EROFS_MAGIC = 0xe0f5e1e2;
const SUPERBLOCK_OFFSET = 1024;
const SUPERBLOCK_BYTES = 128;
/** Of the superblock's field that counts further disks which have the files' data. */
const EXTRA_DEVICES_OFFSET = 86;
/**
 * As many layers become a disk each. Each disk costs a start some milliseconds, under emulation tens of them, so a longer
 * chain goes the way of any other directories: it is merged into one image.
 */
const MOST_DISKS = 16;

/** What is known of the host. Tests have others. */
export interface ErofsHost {
  /** statfs(2)'s type of the file system that a directory is on. */
  fileSystemType(directory: string): Promise<number>;
  mountinfo(): Promise<string>;
  /** The file of a loop device (`loop0`), undefined if it begins elsewhere than at the file's start. */
  loopFile(device: string): Promise<string | undefined>;
  /** The first bytes of a regular file; undefined if it is none. */
  head(file: string, bytes: number): Promise<Buffer | undefined>;
}

/**
 * The image files of a chain, in its order. Undefined if a layer is no EROFS mount, or is of more than one file: then
 * the layers are read as the directories that they are.
 * @param lower the topmost first
 */
export async function erofsDisks(
  lower: readonly string[],
  host: ErofsHost = THIS_HOST,
): Promise<readonly string[] | undefined> {
  if (lower.length === 0 || lower.length > MOST_DISKS) return undefined;
  const types = await Promise.all(lower.map((each) => host.fileSystemType(each).catch(() => undefined)));
  if (types.some((type) => type !== EROFS_MAGIC)) return undefined;
  const mounts = parseMountinfo(await host.mountinfo());
  const disks: string[] = [];
  for (const layer of lower) {
    // a later line is mounted above an earlier one at the same place
    const mount = mounts.findLast((each) => each.mountPoint === layer);
    const disk = mount === undefined ? undefined : await diskOf(mount, host);
    if (disk === undefined) return undefined;
    disks.push(disk);
  }
  return disks;
}

async function diskOf({ type, source }: MountEntry, host: ErofsHost): Promise<string | undefined> {
  if (type !== "erofs") return undefined;
  const [, loop] = /^\/dev\/(loop\d+)$/.exec(source) ?? [];
  const file = loop === undefined ? source : await host.loopFile(loop);
  if (file === undefined || !file.startsWith("/")) return undefined;
  const head = await host.head(file, SUPERBLOCK_OFFSET + SUPERBLOCK_BYTES).catch(() => undefined);
  if (head === undefined || head.length < SUPERBLOCK_OFFSET + SUPERBLOCK_BYTES) return undefined;
  if (head.readUInt32LE(SUPERBLOCK_OFFSET) !== EROFS_MAGIC) return undefined;
  return head.readUInt16LE(SUPERBLOCK_OFFSET + EXTRA_DEVICES_OFFSET) === 0 ? file : undefined;
}

const THIS_HOST: ErofsHost = {
  fileSystemType: async (directory) => (await statfs(directory)).type,
  mountinfo: () => readFile("/proc/self/mountinfo", "utf8"),
  loopFile: async (device) => {
    const about = (name: string) => readFile(`/sys/block/${device}/loop/${name}`, "utf8");
    const [file, offset] = await Promise.all([about("backing_file"), about("offset")]);
    return offset.trim() === "0" ? file.replace(/\n$/, "") : undefined;
  },
  head: async (file, bytes) => {
    if (!(await stat(file)).isFile()) return undefined;
    await using handle = await open(file, "r");
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(bytes), 0, bytes, 0);
    return buffer.subarray(0, bytesRead);
  },
};
