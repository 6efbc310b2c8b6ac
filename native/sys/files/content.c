/*
 * Whole files: readFile, readFileBytes, writeFile.
 *
 * Files of /proc and /sys report size 0, so a file is read until its end. It is opened non-blocking: if somebody has put a
 * FIFO in a file's place, the program's only thread must not hang.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sys/sys.h"

#define FIRST_READ 4096

/* Reads all of `fd` into *out, which the caller frees. Returns the length, or -1 with errno. */
static ssize_t read_all(int fd, size_t max, uint8_t **out) {
  uint8_t first[FIRST_READ]; /* most files fit; for a block of this size, libc would make a mapping */
  size_t length = 0, capacity = sizeof first;
  uint8_t *bytes = first;
  for (;;) {
    if (length == capacity) {
      uint8_t *grown = realloc(bytes == first ? NULL : bytes, capacity * 2);
      if (!grown) break;
      if (bytes == first) memcpy(grown, first, length);
      bytes = grown;
      capacity *= 2;
    }
    ssize_t count = read(fd, bytes + length, capacity - length);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) break;
    if (count == 0) {
      *out = bytes == first ? malloc(length + 1) : bytes;
      if (!*out) return -1;
      if (bytes == first) memcpy(*out, first, length);
      return (ssize_t)length;
    }
    length += (size_t)count;
    if (length > max) {
      errno = EFBIG;
      break;
    }
  }
  int error = errno;
  if (bytes != first) free(bytes);
  errno = error;
  return -1;
}

static ssize_t read_path(const char *path, size_t max, uint8_t **out) {
  int fd = sys_open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0);
  if (fd < 0) return -1;
  ssize_t length = read_all(fd, max, out);
  int error = errno;
  close(fd);
  errno = error;
  return length;
}

SYS_FUNCTION(f_read_file) {
  const char *path;
  int64_t max;
  uint8_t *bytes;
  SYS_ARGS("sn", &path, &max);
  ssize_t length = read_path(path, (size_t)max, &bytes);
  if (length < 0) return sys_result(ctx, -1);
  JSValue text = sys_text(ctx, bytes, (size_t)length);
  free(bytes);
  return text;
}

SYS_FUNCTION(f_read_file_bytes) {
  const char *path;
  int64_t max;
  uint8_t *bytes;
  SYS_ARGS("sn", &path, &max);
  ssize_t length = read_path(path, (size_t)max, &bytes);
  if (length < 0) return sys_result(ctx, -1);
  JSValue buffer = JS_NewArrayBufferCopy(ctx, bytes, (size_t)length);
  free(bytes);
  return buffer;
}

SYS_FUNCTION(f_write_file) {
  const char *path;
  uint32_t flags = O_WRONLY | O_CREAT | O_TRUNC, mode = 0644;
  size_t length, done = 0;
  SYS_ARGS("s", &path);
  if (argc < 2 || !JS_IsString(argv[1])) return JS_ThrowTypeError(ctx, "argument 2 must be a string");
  struct sys_call last = {.ctx = ctx};
  if (sys_parse(&last, argc - 2, argv + 2, "|uu", &flags, &mode) < 0) return JS_EXCEPTION;
  const char *text = JS_ToCStringLen(ctx, &length, argv[1]); /* unlike a name, content may contain NUL */
  if (!text) return JS_EXCEPTION;
  int error = 0, fd = sys_open(path, flags | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, mode);
  if (fd < 0) error = errno;
  /* one write(2), also for the empty text: a control file takes each as one message */
  while (!error && (done < length || length == 0)) {
    ssize_t count = write(fd, text + done, length - done);
    if (count < 0 && errno != EINTR) error = errno;
    if (count > 0) done += (size_t)count;
    if (length == 0) break;
  }
  if (fd >= 0 && close(fd) < 0 && !error) error = errno;
  JS_FreeCString(ctx, text);
  return sys_failure(ctx, error);
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("readFile", 2, f_read_file),
    JS_CFUNC_DEF("readFileBytes", 2, f_read_file_bytes),
    JS_CFUNC_DEF("writeFile", 4, f_write_file),
};
SYS_GROUP(sys_content_group, functions);
