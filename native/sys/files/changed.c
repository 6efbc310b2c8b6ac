/*
 * Files as a file server changes them: mkdirat(2), mknodat(2), symlinkat(2), linkat(2), unlinkat(2), renameat2(2),
 * fchownat(2), utimensat(2), xattr(7), pwritev2(2), copy_file_range(2).
 *
 * As in served.c, a file is a name below a descriptor, or a descriptor without access. Such a descriptor's own file is
 * reached by /proc/self/fd, so this process needs a /proc. Arguments that FUSE has as structures are read from the message.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "sys/files/served.h"

#ifndef RWF_APPEND
#define RWF_APPEND 0x10
#endif

SYS_FUNCTION(f_make_entry) {
  int directory;
  const char *utf8;
  uint32_t mode;
  char name[NAME_BYTES];
  SYS_ARGS("fsu", &directory, &utf8, &mode);
  SYS_NAME(utf8, name);
  if (S_ISDIR(mode)) return sys_result(ctx, mkdirat(directory, name, mode & 07777));
  if (!S_ISREG(mode) && !S_ISFIFO(mode) && !S_ISSOCK(mode)) return sys_failure(ctx, EPERM);
  return sys_result(ctx, mknodat(directory, name, mode, 0));
}

SYS_FUNCTION(f_symlink_entry) {
  int directory;
  const char *utf8;
  struct sys_bytes target;
  char name[NAME_BYTES], path[PATH_MAX];
  SYS_ARGS("fsb", &directory, &utf8, &target);
  SYS_NAME(utf8, name);
  if (target.length >= PATH_MAX) return sys_failure(ctx, ENAMETOOLONG);
  memcpy(path, target.data, target.length);
  path[target.length] = 0;
  return sys_result(ctx, symlinkat(path, directory, name));
}

SYS_FUNCTION(f_link_entry) {
  int fd, directory;
  const char *utf8;
  char name[NAME_BYTES], path[LINK_BYTES];
  SYS_ARGS("ffs", &fd, &directory, &utf8);
  SYS_NAME(utf8, name);
  return sys_result(ctx, linkat(AT_FDCWD, sys_link_of(fd, path), directory, name, AT_SYMLINK_FOLLOW));
}

SYS_FUNCTION(f_unlink_entry) {
  int directory, is_directory;
  const char *utf8;
  char name[NAME_BYTES];
  SYS_ARGS("fst", &directory, &utf8, &is_directory);
  SYS_NAME(utf8, name);
  return sys_result(ctx, unlinkat(directory, name, is_directory ? AT_REMOVEDIR : 0));
}

SYS_FUNCTION(f_rename_entry) {
  int from, to;
  const char *old_utf8, *new_utf8;
  uint32_t flags;
  char old[NAME_BYTES], new[NAME_BYTES];
  SYS_ARGS("fsfsu", &from, &old_utf8, &to, &new_utf8, &flags);
  SYS_NAME(old_utf8, old);
  SYS_NAME(new_utf8, new);
  return sys_result(ctx, syscall(SYS_renameat2, from, old, to, new, flags));
}

SYS_FUNCTION(f_chmod_entry) {
  int fd;
  uint32_t mode;
  char path[LINK_BYTES];
  SYS_ARGS("fu", &fd, &mode);
  return sys_result(ctx, chmod(sys_link_of(fd, path), mode & 07777));
}

SYS_FUNCTION(f_chown_entry) {
  int fd;
  uint32_t uid, gid;
  SYS_ARGS("fuu", &fd, &uid, &gid);
  return sys_result(ctx, fchownat(fd, "", uid, gid, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW));
}

SYS_FUNCTION(f_truncate_entry) {
  int fd;
  int64_t length;
  char path[LINK_BYTES];
  SYS_ARGS("fn", &fd, &length);
  return sys_result(ctx, truncate(sys_link_of(fd, path), length));
}

static struct timespec time_of(uint32_t valid, uint32_t given, uint32_t now, uint64_t seconds, uint32_t nanoseconds) {
  if (!(valid & given)) return (struct timespec){.tv_nsec = UTIME_OMIT};
  if (valid & now) return (struct timespec){.tv_nsec = UTIME_NOW};
  return (struct timespec){.tv_sec = (time_t)seconds, .tv_nsec = nanoseconds};
}

/* The times of a struct fuse_setattr_in. */
SYS_FUNCTION(f_set_times_entry) {
  int fd;
  struct sys_bytes in;
  struct fuse_setattr_in all;
  char path[LINK_BYTES];
  SYS_ARGS("fb", &fd, &in);
  if (in.length < sizeof all) return sys_failure(ctx, ERANGE);
  memcpy(&all, in.data, sizeof all);
  const struct timespec times[2] = {
      time_of(all.valid, FATTR_ATIME, FATTR_ATIME_NOW, all.atime, all.atimensec),
      time_of(all.valid, FATTR_MTIME, FATTR_MTIME_NOW, all.mtime, all.mtimensec),
  };
  return sys_result(ctx, utimensat(AT_FDCWD, sys_link_of(fd, path), times, 0));
}

SYS_FUNCTION(f_get_entry_xattr) {
  int fd;
  const char *name;
  struct sys_bytes out;
  char path[LINK_BYTES];
  SYS_ARGS("fsb", &fd, &name, &out);
  return sys_result(ctx, getxattr(sys_link_of(fd, path), name, out.data, out.length));
}

SYS_FUNCTION(f_list_entry_xattrs) {
  int fd;
  struct sys_bytes out;
  char path[LINK_BYTES];
  SYS_ARGS("fb", &fd, &out);
  return sys_result(ctx, listxattr(sys_link_of(fd, path), (char *)out.data, out.length));
}

SYS_FUNCTION(f_set_entry_xattr) {
  int fd;
  const char *name;
  struct sys_bytes value;
  uint32_t flags;
  char path[LINK_BYTES];
  SYS_ARGS("fsbu", &fd, &name, &value, &flags);
  return sys_result(ctx, setxattr(sys_link_of(fd, path), name, value.data, value.length, (int)flags));
}

SYS_FUNCTION(f_remove_entry_xattr) {
  int fd;
  const char *name;
  char path[LINK_BYTES];
  SYS_ARGS("fs", &fd, &name);
  return sys_result(ctx, removexattr(sys_link_of(fd, path), name));
}

SYS_FUNCTION(f_write_content) {
  int fd, append;
  struct sys_bytes bytes;
  int64_t position;
  SYS_ARGS("fbnt", &fd, &bytes, &position, &append);
  const struct iovec all = {bytes.data, bytes.length};
  if (!append) return sys_result(ctx, pwrite(fd, bytes.data, bytes.length, position));
  /* the offset is split into two registers, of which the upper one has nothing */
  return sys_result(ctx, syscall(SYS_pwritev2, fd, &all, 1, position, 0, RWF_APPEND));
}

/* A writer without CAP_FSETID takes these bits from a program (inode(7)). */
SYS_FUNCTION(f_drop_privileges_of) {
  int fd;
  struct stat st;
  SYS_ARGS("f", &fd);
  if (fstat(fd, &st) < 0) return sys_result(ctx, -1);
  mode_t mode = st.st_mode & ~(mode_t)S_ISUID;
  if (mode & S_IXGRP) mode &= ~(mode_t)S_ISGID;
  if (mode == st.st_mode || !S_ISREG(mode)) return sys_result(ctx, 0);
  return sys_result(ctx, fchmod(fd, mode & 07777));
}

SYS_FUNCTION(f_copy_range) {
  int in, out;
  int64_t from, to, length;
  SYS_ARGS("fnfnn", &in, &from, &out, &to, &length);
  return sys_result(ctx, copy_file_range(in, &from, out, &to, (size_t)length, 0));
}

SYS_FUNCTION(f_fdatasync) {
  int fd;
  SYS_ARGS("f", &fd);
  return sys_result(ctx, fdatasync(fd));
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("makeEntry", 3, f_make_entry),
    JS_CFUNC_DEF("symlinkEntry", 5, f_symlink_entry),
    JS_CFUNC_DEF("linkEntry", 3, f_link_entry),
    JS_CFUNC_DEF("unlinkEntry", 3, f_unlink_entry),
    JS_CFUNC_DEF("renameEntry", 5, f_rename_entry),
    JS_CFUNC_DEF("chmodEntry", 2, f_chmod_entry),
    JS_CFUNC_DEF("chownEntry", 3, f_chown_entry),
    JS_CFUNC_DEF("truncateEntry", 2, f_truncate_entry),
    JS_CFUNC_DEF("setTimesEntry", 4, f_set_times_entry),
    JS_CFUNC_DEF("getEntryXattr", 5, f_get_entry_xattr),
    JS_CFUNC_DEF("listEntryXattrs", 4, f_list_entry_xattrs),
    JS_CFUNC_DEF("setEntryXattr", 6, f_set_entry_xattr),
    JS_CFUNC_DEF("removeEntryXattr", 2, f_remove_entry_xattr),
    JS_CFUNC_DEF("writeContent", 6, f_write_content),
    JS_CFUNC_DEF("dropPrivilegesOf", 1, f_drop_privileges_of),
    JS_CFUNC_DEF("copyRange", 5, f_copy_range),
    JS_CFUNC_DEF("fdatasync", 1, f_fdatasync),
};
SYS_GROUP(sys_changed_group, functions);
