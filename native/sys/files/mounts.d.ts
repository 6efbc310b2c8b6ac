/**
 * Mounts: mount(2), umount2(2), pivot_root(2), mount_setattr(2), open_tree(2), move_mount(2), FITRIM
 * (mounts.c).
 */

declare module "sys" {
  /** mount(2). `data` over 4,095 bytes is refused with -E2BIG: the kernel would cut it silently. */
  export function mount(
    source: string | null,
    target: string,
    type: string | null,
    flags: number,
    data?: string | null,
  ): Result;
  /** umount2(2): flags are `MNT_DETACH`, `UMOUNT_NOFOLLOW`, … */
  export function umount2(target: string, flags: number): Result;
  /** pivot_root(2); `pivotRoot(".", ".")` and then `umount2(".", MNT_DETACH)` needs no extra directory. */
  export function pivotRoot(newRoot: string, putOld: string): Result;
  /** chroot(2). */
  export function chroot(path: string): Result;
  /**
   * mount_setattr(2) on `path` below directory `directory` (or `AT_FDCWD`); masks of `MOUNT_ATTR_*`. `userNamespace` is a
   * descriptor, for `MOUNT_ATTR_IDMAP`.
   */
  export function mountSetattr(
    directory: number,
    path: string,
    flags: number,
    set: number,
    clear: number,
    propagation?: number,
    userNamespace?: number,
  ): Result;
  /** open_tree(2): flags `OPEN_TREE_CLONE | AT_RECURSIVE | AT_EMPTY_PATH`. */
  export function openTree(directory: number, path: string, flags: number): Descriptor;
  /** move_mount(2). */
  export function moveMount(
    fromDirectory: number,
    fromPath: string,
    toDirectory: number,
    toPath: string,
    flags: number,
  ): Result;
  /**
   * FITRIM (linux/fs.h): has the file system that holds `fd` discard the free space in a range of its disk. Ranges that are
   * shorter than `least` bytes are left. The bytes that were discarded.
   */
  export function fitrim(fd: number, start: number, length: number, least: number): Result;
}
