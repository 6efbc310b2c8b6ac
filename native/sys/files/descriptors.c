/*
 * Open files and other descriptors: open(2), openat2(2), read(2), write(2), dup(2), pipe(2), fcntl(2), fchmod(2),
 * ftruncate(2), fsync(2), sendfile(2), memfd_create(2), …
 *
 * Close-on-exec is the default: a descriptor that leaks into a container's process or a VMM is a security hole.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sys/sys.h"

#define RETRY(result, expression)    \
  do {                               \
    result = (expression);           \
  } while (result < 0 && errno == EINTR)

static uint32_t with_cloexec(uint32_t flags) {
  return flags & O_INHERIT ? flags & ~(uint32_t)O_INHERIT : flags | O_CLOEXEC;
}

int sys_open(const char *path, uint32_t flags, uint32_t mode) {
  return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

SYS_FUNCTION(f_open) {
  const char *path;
  uint32_t flags, mode = 0;
  int fd;
  SYS_ARGS("su|u", &path, &flags, &mode);
  RETRY(fd, sys_open(path, with_cloexec(flags), mode));
  return sys_result(ctx, fd);
}

SYS_FUNCTION(f_openat2) {
  const char *path;
  int directory;
  uint32_t flags, mode, resolve;
  SYS_ARGS("isuuu", &directory, &path, &flags, &mode, &resolve);
  struct open_how how = {.flags = with_cloexec(flags), .mode = mode, .resolve = resolve};
  return sys_result(ctx, syscall(SYS_openat2, directory, path, &how, sizeof how));
}

SYS_FUNCTION(f_close) {
  int fd;
  SYS_ARGS("f", &fd);
  return sys_result(ctx, close(fd));
}

SYS_FUNCTION(f_close_range) {
  uint32_t first, last, flags;
  SYS_ARGS("uuu", &first, &last, &flags);
  return sys_result(ctx, syscall(SYS_close_range, first, last, flags));
}

SYS_FUNCTION(f_read) {
  int fd;
  struct sys_bytes bytes;
  ssize_t count;
  SYS_ARGS("fb", &fd, &bytes);
  RETRY(count, read(fd, bytes.data, bytes.length));
  return sys_result(ctx, count);
}

/* A device that gives a page at a time costs its reader one call of the engine for all of them. */
SYS_FUNCTION(f_read_available) {
  int fd;
  struct sys_bytes bytes;
  size_t taken = 0;
  ssize_t count;
  SYS_ARGS("fb", &fd, &bytes);
  do {
    RETRY(count, read(fd, bytes.data + taken, bytes.length - taken));
    if (count > 0) taken += (size_t)count;
  } while (count > 0 && taken < bytes.length);
  return sys_result(ctx, taken > 0 ? (ssize_t)taken : count);
}

SYS_FUNCTION(f_write) {
  int fd;
  struct sys_bytes bytes;
  ssize_t count;
  SYS_ARGS("fb", &fd, &bytes);
  RETRY(count, write(fd, bytes.data, bytes.length));
  return sys_result(ctx, count);
}

SYS_FUNCTION(f_pread) {
  int fd;
  struct sys_bytes bytes;
  int64_t position;
  ssize_t count;
  SYS_ARGS("fbn", &fd, &bytes, &position);
  RETRY(count, pread(fd, bytes.data, bytes.length, position));
  return sys_result(ctx, count);
}

SYS_FUNCTION(f_pwrite) {
  int fd;
  struct sys_bytes bytes;
  int64_t position;
  ssize_t count;
  SYS_ARGS("fbn", &fd, &bytes, &position);
  RETRY(count, pwrite(fd, bytes.data, bytes.length, position));
  return sys_result(ctx, count);
}

SYS_FUNCTION(f_lseek) {
  int fd, whence;
  int64_t offset;
  SYS_ARGS("fni", &fd, &offset, &whence);
  return sys_result(ctx, lseek(fd, offset, whence));
}

SYS_FUNCTION(f_fchmod) {
  int fd;
  uint32_t mode;
  SYS_ARGS("fu", &fd, &mode);
  return sys_result(ctx, fchmod(fd, mode));
}

SYS_FUNCTION(f_fchown) {
  int fd;
  uint32_t uid, gid;
  SYS_ARGS("fuu", &fd, &uid, &gid);
  return sys_result(ctx, fchown(fd, uid, gid));
}

SYS_FUNCTION(f_fchdir) {
  int fd;
  SYS_ARGS("f", &fd);
  return sys_result(ctx, fchdir(fd));
}

SYS_FUNCTION(f_ftruncate) {
  int fd;
  int64_t length;
  SYS_ARGS("fn", &fd, &length);
  return sys_result(ctx, ftruncate(fd, length));
}

SYS_FUNCTION(f_fallocate) {
  int fd;
  uint32_t mode;
  int64_t offset, length;
  SYS_ARGS("funn", &fd, &mode, &offset, &length);
  return sys_result(ctx, fallocate(fd, (int)mode, offset, length));
}

SYS_FUNCTION(f_fsync) {
  int fd;
  SYS_ARGS("f", &fd);
  return sys_result(ctx, fsync(fd));
}

SYS_FUNCTION(f_sync) {
  SYS_UNUSED;
  sync();
  return JS_NewInt32(ctx, 0);
}

SYS_FUNCTION(f_syncfs) {
  int fd;
  SYS_ARGS("f", &fd);
  return sys_result(ctx, syncfs(fd));
}

SYS_FUNCTION(f_sendfile) {
  int out, in;
  int64_t length;
  ssize_t count;
  SYS_ARGS("ffn", &out, &in, &length);
  RETRY(count, sendfile(out, in, NULL, (size_t)length));
  return sys_result(ctx, count);
}

SYS_FUNCTION(f_copy_file_range) {
  int in, out;
  int64_t length;
  ssize_t count;
  SYS_ARGS("ffn", &in, &out, &length);
  RETRY(count, copy_file_range(in, NULL, out, NULL, (size_t)length, 0));
  return sys_result(ctx, count);
}

SYS_FUNCTION(f_memfd_create) {
  const char *name;
  uint32_t flags;
  SYS_ARGS("su", &name, &flags);
  return sys_result(ctx, memfd_create(name, flags | MFD_CLOEXEC));
}

SYS_FUNCTION(f_set_cloexec) {
  int fd, on;
  SYS_ARGS("ft", &fd, &on);
  return sys_result(ctx, fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0));
}

SYS_FUNCTION(f_set_nonblock) {
  int fd, on, flags;
  SYS_ARGS("ft", &fd, &on);
  flags = fcntl(fd, F_GETFL);
  if (flags < 0) return sys_result(ctx, -1);
  return sys_result(ctx, fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK));
}

SYS_FUNCTION(f_fcntl) {
  int fd, command;
  uint32_t argument;
  SYS_ARGS("fiu", &fd, &command, &argument);
  switch (command) { /* other commands take pointers: a number would be used as an address */
    case F_DUPFD_CLOEXEC:
    case F_GETFD:
    case F_SETFD:
    case F_GETFL:
    case F_SETFL:
    case F_GETPIPE_SZ:
    case F_SETPIPE_SZ:
    case F_ADD_SEALS:
    case F_GET_SEALS:
      return sys_result(ctx, fcntl(fd, command, (long)argument));
    default:
      return JS_ThrowRangeError(ctx, "fcntl command %d is not offered", command);
  }
}

SYS_FUNCTION(f_flock) {
  int fd, operation, result;
  SYS_ARGS("fi", &fd, &operation);
  RETRY(result, flock(fd, operation));
  return sys_result(ctx, result);
}

SYS_FUNCTION(f_dup) {
  int fd;
  SYS_ARGS("f", &fd);
  return sys_result(ctx, fcntl(fd, F_DUPFD_CLOEXEC, 0));
}

SYS_FUNCTION(f_dup2) {
  int from, to;
  SYS_ARGS("ff", &from, &to);
  if (from != to) return sys_result(ctx, dup2(from, to));
  return sys_result(ctx, fcntl(from, F_SETFD, 0) < 0 ? -1 : to);
}

SYS_FUNCTION(f_dup3) {
  int from, to;
  uint32_t flags;
  SYS_ARGS("ffu", &from, &to, &flags);
  return sys_result(ctx, dup3(from, to, (int)flags));
}

SYS_FUNCTION(f_pipe2) {
  int fds[2];
  uint32_t flags;
  SYS_ARGS("u", &flags);
  if (pipe2(fds, (int)with_cloexec(flags)) < 0) return sys_result(ctx, -1);
  return sys_pair(ctx, JS_NewInt32(ctx, fds[0]), JS_NewInt32(ctx, fds[1]));
}

SYS_FUNCTION(f_pending_bytes) {
  int fd, count = 0;
  SYS_ARGS("f", &fd);
  return sys_result(ctx, ioctl(fd, FIONREAD, &count) < 0 ? -1 : count);
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("open", 3, f_open),
    JS_CFUNC_DEF("openat2", 5, f_openat2),
    JS_CFUNC_DEF("close", 1, f_close),
    JS_CFUNC_DEF("closeRange", 3, f_close_range),
    JS_CFUNC_DEF("read", 4, f_read),
    JS_CFUNC_DEF("readAvailable", 4, f_read_available),
    JS_CFUNC_DEF("write", 4, f_write),
    JS_CFUNC_DEF("pread", 5, f_pread),
    JS_CFUNC_DEF("pwrite", 5, f_pwrite),
    JS_CFUNC_DEF("lseek", 3, f_lseek),
    JS_CFUNC_DEF("fchmod", 2, f_fchmod),
    JS_CFUNC_DEF("fchown", 3, f_fchown),
    JS_CFUNC_DEF("fchdir", 1, f_fchdir),
    JS_CFUNC_DEF("ftruncate", 2, f_ftruncate),
    JS_CFUNC_DEF("fallocate", 4, f_fallocate),
    JS_CFUNC_DEF("fsync", 1, f_fsync),
    JS_CFUNC_DEF("sync", 0, f_sync),
    JS_CFUNC_DEF("syncfs", 1, f_syncfs),
    JS_CFUNC_DEF("sendfile", 3, f_sendfile),
    JS_CFUNC_DEF("copyFileRange", 3, f_copy_file_range),
    JS_CFUNC_DEF("memfdCreate", 2, f_memfd_create),
    JS_CFUNC_DEF("setCloexec", 2, f_set_cloexec),
    JS_CFUNC_DEF("setNonblock", 2, f_set_nonblock),
    JS_CFUNC_DEF("fcntl", 3, f_fcntl),
    JS_CFUNC_DEF("flock", 2, f_flock),
    JS_CFUNC_DEF("dup", 1, f_dup),
    JS_CFUNC_DEF("dup2", 2, f_dup2),
    JS_CFUNC_DEF("dup3", 3, f_dup3),
    JS_CFUNC_DEF("pipe2", 1, f_pipe2),
    JS_CFUNC_DEF("pendingBytes", 1, f_pending_bytes),
};
SYS_GROUP(sys_descriptors_group, functions);
