/*
 * Mounts: mount(2), umount2(2), pivot_root(2), chroot(2), mount_setattr(2),
 * open_tree(2), move_mount(2); FITRIM.
 *
 * musl has no wrappers for the newer calls, so they are made by number, with the kernel's structures.
 */
#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/sys.h"

#define MAX_MOUNT_DATA 4095 /* a page without its NUL; the kernel cuts longer data silently */

/* struct mount_attr of linux/mount.h, which cannot be included beside sys/mount.h. */
struct mount_attributes {
  uint64_t set, clear, propagation, user_namespace_fd;
};

SYS_FUNCTION(f_mount) {
  const char *source, *target, *type, *data = NULL;
  uint32_t flags;
  SYS_ARGS("zszu|z", &source, &target, &type, &flags, &data);
  if (data && strlen(data) > MAX_MOUNT_DATA) return sys_failure(ctx, E2BIG);
  return sys_result(ctx, mount(source ? source : "none", target, type, flags, data));
}

SYS_FUNCTION(f_umount2) {
  const char *target;
  uint32_t flags;
  SYS_ARGS("su", &target, &flags);
  return sys_result(ctx, umount2(target, (int)flags));
}

SYS_FUNCTION(f_pivot_root) {
  const char *new_root, *put_old;
  SYS_ARGS("ss", &new_root, &put_old);
  return sys_result(ctx, syscall(SYS_pivot_root, new_root, put_old));
}

SYS_FUNCTION(f_chroot) {
  const char *path;
  SYS_ARGS("s", &path);
  return sys_result(ctx, chroot(path));
}

SYS_FUNCTION(f_mount_setattr) {
  const char *path;
  int directory, user_namespace = -1;
  uint32_t flags, set, clear, propagation = 0;
  SYS_ARGS("isuuu|ui", &directory, &path, &flags, &set, &clear, &propagation, &user_namespace);
  struct mount_attributes attributes = {set, clear, propagation, user_namespace < 0 ? 0 : (uint64_t)user_namespace};
  return sys_result(ctx, syscall(SYS_mount_setattr, directory, path, flags, &attributes, sizeof attributes));
}

SYS_FUNCTION(f_open_tree) {
  const char *path;
  int directory;
  uint32_t flags;
  SYS_ARGS("isu", &directory, &path, &flags);
  return sys_result(ctx, syscall(SYS_open_tree, directory, path, flags | 02000000 /* OPEN_TREE_CLOEXEC */));
}

SYS_FUNCTION(f_move_mount) {
  const char *from_path, *to_path;
  int from, to;
  uint32_t flags;
  SYS_ARGS("isisu", &from, &from_path, &to, &to_path, &flags);
  return sys_result(ctx, syscall(SYS_move_mount, from, from_path, to, to_path, flags));
}

SYS_FUNCTION(f_fitrim) {
  int fd;
  int64_t start, length, least;
  SYS_ARGS("fnnn", &fd, &start, &length, &least);
  struct fstrim_range range = {(uint64_t)start, (uint64_t)length, (uint64_t)least};
  if (ioctl(fd, (int)FITRIM, &range) < 0) return sys_result(ctx, -1);
  return sys_result(ctx, (int64_t)range.len);
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("mount", 5, f_mount),
    JS_CFUNC_DEF("umount2", 2, f_umount2),
    JS_CFUNC_DEF("pivotRoot", 2, f_pivot_root),
    JS_CFUNC_DEF("chroot", 1, f_chroot),
    JS_CFUNC_DEF("mountSetattr", 7, f_mount_setattr),
    JS_CFUNC_DEF("openTree", 3, f_open_tree),
    JS_CFUNC_DEF("moveMount", 5, f_move_mount),
    JS_CFUNC_DEF("fitrim", 4, f_fitrim),
};
SYS_GROUP(sys_mounts_group, functions);
