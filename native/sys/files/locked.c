/*
 * Locks of an open file's own: fcntl(2), F_OFD_*. The lock is a struct fuse_file_lock in a message of FUSE (linux/fuse.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fuse.h>
#include <string.h>

#include "sys/files/served.h"

static const int commands[] = {F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW};

/* FUSE names the last byte, and fcntl a length that is 0 up to the end of the file, wherever it is. */
static int64_t length_of(const struct fuse_file_lock *lock) {
  return lock->end >= INT64_MAX ? 0 : (int64_t)(lock->end - lock->start) + 1;
}

SYS_FUNCTION(f_record_lock) {
  int fd, command;
  struct sys_bytes bytes;
  struct fuse_file_lock lock;
  SYS_ARGS("fib", &fd, &command, &bytes);
  if (bytes.length < sizeof lock || command < 0 || command > 2) return sys_failure(ctx, EINVAL);
  memcpy(&lock, bytes.data, sizeof lock);
  if (lock.start > INT64_MAX || lock.end < lock.start) return sys_failure(ctx, EINVAL);
  struct flock record = {
      .l_type = (short)lock.type, .l_whence = SEEK_SET, .l_start = (off_t)lock.start, .l_len = length_of(&lock)};
  const int result = fcntl(fd, commands[command], &record);
  if (result < 0 || command != 0) return sys_result(ctx, result);
  lock.type = (uint32_t)record.l_type;
  if (record.l_type != F_UNLCK) {
    lock.start = (uint64_t)record.l_start;
    lock.end = record.l_len ? lock.start + (uint64_t)record.l_len - 1 : INT64_MAX;
  }
  lock.pid = 0; /* of another machine */
  memcpy(bytes.data, &lock, sizeof lock);
  return sys_result(ctx, 0);
}

static const JSCFunctionListEntry functions[] = {JS_CFUNC_DEF("recordLock", 5, f_record_lock)};
SYS_GROUP(sys_locked_group, functions);
