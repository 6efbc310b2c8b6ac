/*
 * A pump: copies from one descriptor to another until one of them ends. For a process that does nothing else: it blocks.
 *
 * A virtio-serial port gives a page in each read (drivers/char/virtio_console.c). What waits behind a whole page is
 * gathered before it is passed on, so that the reader is woken once for it.
 */
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "sys/sys.h"

#define PAGE_BYTES 4096
#define PUMP_BYTES (128 * 1024)

static int is_readable(int fd) {
  struct pollfd one = {.fd = fd, .events = POLLIN};
  return poll(&one, 1, 0) == 1 && one.revents & POLLIN;
}

static ssize_t read_some(int fd, uint8_t *buffer, size_t size) {
  ssize_t length;
  do length = read(fd, buffer, size);
  while (length < 0 && errno == EINTR);
  return length;
}

/* As much as is there now, and a first piece in any case. The end, if it comes later, is met by the next call. */
static ssize_t gather(int fd, uint8_t *buffer, size_t size) {
  ssize_t length = read_some(fd, buffer, size), last = length;
  while (last > 0 && last % PAGE_BYTES == 0 && (size_t)length < size && is_readable(fd)) {
    last = read_some(fd, buffer + length, size - (size_t)length);
    if (last > 0) length += last;
  }
  return length;
}

static int write_all(int fd, const uint8_t *buffer, size_t size) {
  while (size > 0) {
    ssize_t length = write(fd, buffer, size);
    if (length < 0 && errno == EINTR) continue;
    if (length <= 0) return -1;
    buffer += length;
    size -= (size_t)length;
  }
  return 0;
}

SYS_FUNCTION(f_pump) {
  int from, to;
  static uint8_t buffer[PUMP_BYTES];
  SYS_ARGS("ff", &from, &to);
  for (;;) {
    ssize_t length = gather(from, buffer, sizeof buffer);
    if (length <= 0) return sys_result(ctx, length);
    if (write_all(to, buffer, (size_t)length) < 0) return sys_result(ctx, -1);
  }
}

static const JSCFunctionListEntry functions[] = {JS_CFUNC_DEF("pump", 2, f_pump)};
SYS_GROUP(sys_pump_group, functions);
