/*
 * The pump between the kernel's FUSE client and a stream to a file server, for a process that does nothing else.
 *
 * /dev/fuse gives one whole request in each read(2), and takes one whole reply in each write(2). A stream knows no messages,
 * so the pump puts replies together by the length in their header (linux/fuse.h). Both directions have a thread: neither waits
 * for the other, and they share one address space, which an emulated processor changes at a price.
 */
#include <errno.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "sys/sys.h"

/* A write or a read of 256 pages and its header, which the server agrees to at most; xattrs are shorter. */
#define MESSAGE_BYTES ((1 << 20) + 8192)

/* The device, and the stream. */
struct pump {
  int device, stream;
};

static uint8_t requests[MESSAGE_BYTES], replies[MESSAGE_BYTES];

static ssize_t read_some(int fd, uint8_t *buffer, size_t size) {
  ssize_t length;
  do length = read(fd, buffer, size);
  while (length < 0 && errno == EINTR);
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

/* Requests, until the mount has gone or the stream ends. */
static void pump_requests(const struct pump *pump) {
  for (;;) {
    ssize_t length = read_some(pump->device, requests, sizeof requests);
    /* ENOENT: the request was called off while it was read */
    if (length < 0 && errno == ENOENT) continue;
    if (length <= 0 || write_all(pump->stream, requests, (size_t)length) < 0) return;
  }
}

/* One reply. Nobody waits any more for one that gives ENOENT. */
static int deliver(int device, const uint8_t *reply, size_t length) {
  return write(device, reply, length) == (ssize_t)length || errno == ENOENT ? 0 : -1;
}

/* Delivers the replies that are whole and moves the rest to the front: how much there is of it, or -1. */
static ssize_t deliver_all(int device, size_t filled) {
  size_t at = 0;
  while (filled - at >= sizeof(struct fuse_out_header)) {
    uint32_t length;
    memcpy(&length, replies + at, sizeof length);
    if (length < sizeof(struct fuse_out_header) || length > sizeof replies) return -1;
    if (length > filled - at) break;
    if (deliver(device, replies + at, length) < 0) return -1;
    at += length;
  }
  if (at > 0) memmove(replies, replies + at, filled - at);
  return (ssize_t)(filled - at);
}

static void *pump_replies(void *argument) {
  const struct pump *pump = argument;
  ssize_t rest = 0;
  do {
    ssize_t length = read_some(pump->stream, replies + rest, sizeof replies - (size_t)rest);
    if (length <= 0) break;
    rest = deliver_all(pump->device, (size_t)(rest + length));
  } while (rest >= 0);
  _exit(0); /* which closes the device, and so ends all that waits for a reply */
}

SYS_FUNCTION(f_fuse_pump) {
  struct pump pump;
  pthread_t thread;
  SYS_ARGS("ff", &pump.device, &pump.stream);
  int error = pthread_create(&thread, NULL, pump_replies, &pump);
  if (error) return sys_failure(ctx, error);
  pump_requests(&pump);
  _exit(0);
}

static const JSCFunctionListEntry functions[] = {JS_CFUNC_DEF("fusePump", 2, f_fuse_pump)};
SYS_GROUP(sys_fuse_pump_group, functions);
