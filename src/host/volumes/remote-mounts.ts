/**
 * Which sources of volumes may not answer: those on file systems that ask somebody else, a server or a program.
 *
 * A call on such a file system may wait for ever. Whose it is, is known from /proc/self/mountinfo (proc_pid_mountinfo(5)), which
 * the kernel answers by itself. Pure, but for reading that.
 */
import { readFile } from "node:fs/promises";
import { unescapedPath } from "../../workers/volumes/mount-origin.ts";

/** What a kernel of Debian has that asks nobody; whatever is not here may not answer. */
const LOCAL: ReadonlySet<string> = new Set([
  ...["ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "bcachefs", "vfat", "exfat", "ntfs3", "erofs"],
  ...["squashfs", "iso9660", "udf", "tmpfs", "ramfs", "rootfs", "devtmpfs", "hugetlbfs", "overlay", "aufs"],
  ...["proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue", "securityfs", "debugfs", "tracefs", "bpf"],
  ...["pstore", "configfs", "efivarfs", "fusectl", "binfmt_misc", "nsfs", "selinuxfs", "rpc_pipefs"],
  "resctrl",
]);

/** Where kubelet has what is a pod's, and containerd what is a container's: no link of anybody else's is on the way. */
const OF_A_POD =
  /\/pods\/[^/]+\/(?:volumes|volume-subpaths|volumeDevices|containers|etc-hosts)(?:\/|$)|\/containers\/[0-9a-f]{64}\/volumes\//;
/** A kernel's own, which begins by itself (systemd's autofs). */
const OF_THE_KERNEL = /^\/(?:proc|sys)\//;
const POD = "/pods/";

/** The mount points of file systems that may not answer. */
export async function readRemoteMounts(mountinfo = "/proc/self/mountinfo"): Promise<string[]> {
  const text = await readFile(mountinfo, "utf8");
  return text.split("\n").flatMap((line) => {
    const [before = "", after = ""] = line.split(" - ", 2);
    const type = after.split(" ", 1)[0] ?? "";
    const mountPoint = before.split(" ")[4];
    if (type === "" || mountPoint === undefined || LOCAL.has(type) || OF_THE_KERNEL.test(mountPoint))
      return [];
    return [unescapedPath(mountPoint)];
  });
}

/** Whether a look at the source may wait for one of these. Anything but kubelet's own paths may be a link to one. */
export function mayHang(source: string, remote: readonly string[]): boolean {
  if (remote.length === 0) return false;
  if (!OF_A_POD.test(source)) return true;
  // kubelet's root directory may have a link in its name, and a mount point has none
  const wanted = ofPod(source);
  return remote.some((mountPoint) => isAt(source, mountPoint) || isAt(wanted, ofPod(mountPoint)));
}

function ofPod(path: string): string {
  const at = path.lastIndexOf(POD);
  return at < 0 ? path : path.slice(at);
}

function isAt(path: string, mountPoint: string): boolean {
  return mountPoint === "/" || path === mountPoint || path.startsWith(`${mountPoint}/`);
}
