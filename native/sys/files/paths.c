/*
 * Names and metadata of files: mkdir(2), unlink(2), chmod(2), stat(2), readdir(3), xattr(7), statfs(2), …
 *
 * Functions that take an open descriptor are in descriptors.c, but for fstat(2).
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "sys/sys.h"

#define MAX_XATTR 65536 /* XATTR_SIZE_MAX of the kernel */

SYS_FUNCTION(f_mkdir) {
  const char *path;
  uint32_t mode;
  SYS_ARGS("su", &path, &mode);
  return sys_result(ctx, mkdir(path, mode));
}

SYS_FUNCTION(f_rmdir) {
  const char *path;
  SYS_ARGS("s", &path);
  return sys_result(ctx, rmdir(path));
}

SYS_FUNCTION(f_unlink) {
  const char *path;
  SYS_ARGS("s", &path);
  return sys_result(ctx, unlink(path));
}

SYS_FUNCTION(f_symlink) {
  const char *target, *path;
  SYS_ARGS("ss", &target, &path);
  return sys_result(ctx, symlink(target, path));
}

SYS_FUNCTION(f_link) {
  const char *existing, *path;
  SYS_ARGS("ss", &existing, &path);
  return sys_result(ctx, link(existing, path));
}

SYS_FUNCTION(f_rename) {
  const char *from, *to;
  SYS_ARGS("ss", &from, &to);
  return sys_result(ctx, rename(from, to));
}

SYS_FUNCTION(f_readlink) {
  const char *path;
  char target[PATH_MAX];
  SYS_ARGS("s", &path);
  ssize_t length = readlink(path, target, sizeof target);
  if (length < 0) return sys_result(ctx, -1);
  return sys_text(ctx, (const uint8_t *)target, (size_t)length);
}

SYS_FUNCTION(f_mknod) {
  const char *path;
  uint32_t mode, major, minor;
  SYS_ARGS("suuu", &path, &mode, &major, &minor);
  return sys_result(ctx, mknod(path, mode, makedev(major, minor)));
}

SYS_FUNCTION(f_mkfifo) {
  const char *path;
  uint32_t mode;
  SYS_ARGS("su", &path, &mode);
  return sys_result(ctx, mkfifo(path, mode));
}

SYS_FUNCTION(f_chmod) {
  const char *path;
  uint32_t mode;
  SYS_ARGS("su", &path, &mode);
  return sys_result(ctx, chmod(path, mode));
}

SYS_FUNCTION(f_lchown) {
  const char *path;
  uint32_t uid, gid;
  SYS_ARGS("suu", &path, &uid, &gid);
  return sys_result(ctx, lchown(path, uid, gid));
}

static struct timespec milliseconds(double value) {
  double seconds = floor(value / 1000);
  return (struct timespec){(time_t)seconds, (long)((value - seconds * 1000) * 1e6)};
}

SYS_FUNCTION(f_lutimes) {
  const char *path;
  double accessed, modified;
  SYS_ARGS("s", &path);
  if (argc < 3 || !JS_IsNumber(argv[1]) || !JS_IsNumber(argv[2]))
    return JS_ThrowTypeError(ctx, "times must be numbers");
  if (JS_ToFloat64(ctx, &accessed, argv[1]) < 0 || JS_ToFloat64(ctx, &modified, argv[2]) < 0)
    return JS_EXCEPTION;
  if (!(fabs(accessed) < 1e15 && fabs(modified) < 1e15)) return JS_ThrowRangeError(ctx, "times out of range");
  struct timespec times[2] = {milliseconds(accessed), milliseconds(modified)};
  return sys_result(ctx, utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW));
}

static JSValue stat_object(JSContext *ctx, int result, const struct stat *st) {
  if (result < 0) return sys_result(ctx, -1);
  JSValue object = JS_NewObject(ctx);
  if (JS_IsException(object)) return object;
  sys_set(ctx, object, "mode", JS_NewUint32(ctx, st->st_mode));
  sys_set(ctx, object, "size", JS_NewInt64(ctx, st->st_size));
  sys_set(ctx, object, "dev", JS_NewInt64(ctx, (int64_t)st->st_dev));
  sys_set(ctx, object, "ino", JS_NewBigUint64(ctx, st->st_ino));
  sys_set(ctx, object, "nlink", JS_NewInt64(ctx, (int64_t)st->st_nlink));
  sys_set(ctx, object, "uid", JS_NewUint32(ctx, st->st_uid));
  sys_set(ctx, object, "gid", JS_NewUint32(ctx, st->st_gid));
  sys_set(ctx, object, "rdevMajor", JS_NewUint32(ctx, major(st->st_rdev)));
  sys_set(ctx, object, "rdevMinor", JS_NewUint32(ctx, minor(st->st_rdev)));
  sys_set(ctx, object, "blocks", JS_NewInt64(ctx, st->st_blocks));
  sys_set(ctx, object, "mtimeMs",
          JS_NewFloat64(ctx, (double)st->st_mtim.tv_sec * 1000 + (double)st->st_mtim.tv_nsec / 1e6));
  return object;
}

SYS_FUNCTION(f_stat) {
  const char *path;
  struct stat st;
  SYS_ARGS("s", &path);
  return stat_object(ctx, stat(path, &st), &st);
}

SYS_FUNCTION(f_lstat) {
  const char *path;
  struct stat st;
  SYS_ARGS("s", &path);
  return stat_object(ctx, lstat(path, &st), &st);
}

SYS_FUNCTION(f_fstat) {
  int fd;
  struct stat st;
  SYS_ARGS("f", &fd);
  return stat_object(ctx, fstat(fd, &st), &st);
}

SYS_FUNCTION(f_access) {
  const char *path;
  uint32_t mode;
  SYS_ARGS("su", &path, &mode);
  /* the numbers of the API are the permission bits: 1 execute, 2 write, 4 read, as in access(2) */
  return sys_result(ctx, faccessat(AT_FDCWD, path, (int)mode, AT_EACCESS));
}

SYS_FUNCTION(f_readdir) {
  const char *path;
  struct dirent *entry;
  uint32_t count = 0;
  SYS_ARGS("s", &path);
  DIR *directory = opendir(path);
  if (!directory) return sys_result(ctx, -1);
  JSValue names = JS_NewArray(ctx);
  while (!JS_IsException(names) && (errno = 0, entry = readdir(directory))) {
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    JSValue name = sys_text(ctx, (const uint8_t *)entry->d_name, strlen(entry->d_name));
    if (JS_IsException(name) || JS_SetPropertyUint32(ctx, names, count++, name) < 0) {
      closedir(directory);
      JS_FreeValue(ctx, names);
      return JS_EXCEPTION;
    }
  }
  int error = errno;
  closedir(directory);
  if (JS_IsException(names) || !error) return names;
  JS_FreeValue(ctx, names);
  return sys_failure(ctx, error);
}

SYS_FUNCTION(f_chdir) {
  const char *path;
  SYS_ARGS("s", &path);
  return sys_result(ctx, chdir(path));
}

SYS_FUNCTION(f_getcwd) {
  char path[PATH_MAX];
  SYS_UNUSED;
  if (!getcwd(path, sizeof path)) return sys_result(ctx, -1);
  return sys_text(ctx, (const uint8_t *)path, strlen(path));
}

SYS_FUNCTION(f_umask) {
  uint32_t mask;
  SYS_ARGS("u", &mask);
  return JS_NewInt32(ctx, (int32_t)umask(mask));
}

SYS_FUNCTION(f_lsetxattr) {
  const char *path, *name;
  uint32_t flags;
  size_t size;
  SYS_ARGS("ss", &path, &name);
  struct sys_call last = {.ctx = ctx};
  if (sys_parse(&last, argc - 3, argv + 3, "u", &flags) < 0) return JS_EXCEPTION;
  uint8_t *value = JS_GetArrayBuffer(ctx, &size, argv[2]);
  if (!value && JS_HasException(ctx)) return JS_EXCEPTION;
  return sys_result(ctx, lsetxattr(path, name, value, size, (int)flags));
}

SYS_FUNCTION(f_lgetxattr) {
  const char *path, *name;
  SYS_ARGS("ss", &path, &name);
  uint8_t *value = malloc(MAX_XATTR);
  if (!value) return JS_ThrowOutOfMemory(ctx);
  ssize_t size = lgetxattr(path, name, value, MAX_XATTR);
  JSValue result = size < 0 ? sys_result(ctx, -1) : JS_NewArrayBufferCopy(ctx, value, (size_t)size);
  free(value);
  return result;
}

SYS_FUNCTION(f_llistxattr) {
  const char *path;
  SYS_ARGS("s", &path);
  return sys_result(ctx, llistxattr(path, NULL, 0));
}

SYS_FUNCTION(f_statfs) {
  const char *path;
  struct statfs fs;
  SYS_ARGS("s", &path);
  if (statfs(path, &fs) < 0) return sys_result(ctx, -1);
  JSValue object = JS_NewObject(ctx);
  if (JS_IsException(object)) return object;
  sys_set(ctx, object, "type", JS_NewUint32(ctx, (uint32_t)fs.f_type));
  sys_set(ctx, object, "blockSize", JS_NewInt64(ctx, (int64_t)fs.f_bsize));
  sys_set(ctx, object, "blocks", JS_NewInt64(ctx, (int64_t)fs.f_blocks));
  sys_set(ctx, object, "blocksFree", JS_NewInt64(ctx, (int64_t)fs.f_bfree));
  sys_set(ctx, object, "blocksAvailable", JS_NewInt64(ctx, (int64_t)fs.f_bavail));
  sys_set(ctx, object, "files", JS_NewInt64(ctx, (int64_t)fs.f_files));
  sys_set(ctx, object, "filesFree", JS_NewInt64(ctx, (int64_t)fs.f_ffree));
  return object;
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("mkdir", 2, f_mkdir),         JS_CFUNC_DEF("rmdir", 1, f_rmdir),
    JS_CFUNC_DEF("unlink", 1, f_unlink),       JS_CFUNC_DEF("symlink", 2, f_symlink),
    JS_CFUNC_DEF("link", 2, f_link),           JS_CFUNC_DEF("rename", 2, f_rename),
    JS_CFUNC_DEF("readlink", 1, f_readlink),   JS_CFUNC_DEF("mknod", 4, f_mknod),
    JS_CFUNC_DEF("mkfifo", 2, f_mkfifo),       JS_CFUNC_DEF("chmod", 2, f_chmod),
    JS_CFUNC_DEF("lchown", 3, f_lchown),       JS_CFUNC_DEF("lutimes", 3, f_lutimes),
    JS_CFUNC_DEF("stat", 1, f_stat),           JS_CFUNC_DEF("lstat", 1, f_lstat),
    JS_CFUNC_DEF("fstat", 1, f_fstat),         JS_CFUNC_DEF("access", 2, f_access),
    JS_CFUNC_DEF("readdir", 1, f_readdir),     JS_CFUNC_DEF("chdir", 1, f_chdir),
    JS_CFUNC_DEF("getcwd", 0, f_getcwd),       JS_CFUNC_DEF("umask", 1, f_umask),
    JS_CFUNC_DEF("lsetxattr", 4, f_lsetxattr), JS_CFUNC_DEF("lgetxattr", 2, f_lgetxattr),
    JS_CFUNC_DEF("llistxattr", 1, f_llistxattr), JS_CFUNC_DEF("statfs", 1, f_statfs),
};
SYS_GROUP(sys_paths_group, functions);
