/*
 * The pump between the kernel's FUSE client and a stream to a file server, for a process that does nothing else.
 *
 * /dev/fuse gives one whole request in each read(2), and takes one whole reply in each write(2). A stream knows no messages,
 * so the pump puts replies together by the length in their header (linux/fuse.h). Both directions have a thread: neither waits
 * for the other, and they share one address space, which an emulated processor changes at a price.
 *
 * The kernel lets nobody leave who waits for a reply, killed or not. A third thread answers for a server that does not: to
 * processes that have been killed, and to this process's parent, who serves others.
 */
#include <errno.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sys/sys.h"

/* A write or a read of 256 pages and its header, which the server agrees to at most; xattrs are shorter. */
#define MESSAGE_BYTES ((1 << 20) + 8192)
/* Requests that are remembered while they wait. Numbers of requests are even; one of two in the same place is forgotten. */
#define WAITING 4096
#define FIRST_NUMBER 2
#define LOOK_EVERY_SECONDS 3
#define KILLED_WAITS_SECONDS 2
#define PARENT_WAITS_SECONDS 10
#define EXITING 0x4                /* PF_EXITING, in the flags of proc(5)'s stat */
#define KILL_PENDING (1ULL << 8)   /* SIGKILL, in the masks of proc(5)'s status */

/* The device, and the stream. */
struct pump {
  int device, stream;
};

/* A request that has no reply yet. */
struct waiting {
  _Atomic uint64_t unique; /* 0 = none */
  uint32_t pid;
  time_t since;
};

static uint8_t requests[MESSAGE_BYTES], replies[MESSAGE_BYTES];
static struct waiting waiting[WAITING];

static struct waiting *place_of(uint64_t unique) { return &waiting[unique / FIRST_NUMBER % WAITING]; }

static time_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &time);
  return time.tv_sec;
}

static void remember(const uint8_t *request) {
  struct fuse_in_header header;
  memcpy(&header, request, sizeof header);
  if (header.opcode == FUSE_FORGET || header.opcode == FUSE_BATCH_FORGET || header.opcode == FUSE_INTERRUPT) return;
  struct waiting *place = place_of(header.unique);
  atomic_store(&place->unique, 0);
  place->pid = header.pid;
  place->since = now();
  atomic_store(&place->unique, header.unique);
}

/* Whether this request waited: then nobody else answers it. */
static int take(uint64_t unique) {
  return atomic_compare_exchange_strong(&place_of(unique)->unique, &(uint64_t){unique}, 0);
}

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
    if (length < (ssize_t)sizeof(struct fuse_in_header)) return;
    remember(requests);
    if (write_all(pump->stream, requests, (size_t)length) < 0) return;
  }
}

/* One reply. Nobody waits any more for one that gives ENOENT. */
static int deliver(int device, const uint8_t *reply, size_t length) {
  struct fuse_out_header header;
  memcpy(&header, reply, sizeof header);
  take(header.unique);
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

/* A line of a process's file below /proc that begins with `key`, or the whole first line for "". 0 if there is none. */
static int read_line(uint32_t pid, const char *file, const char *key, char *line, int size) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%u/%s", pid, file);
  FILE *stream = fopen(path, "re");
  int found = 0;
  while (stream && !found && fgets(line, size, stream)) found = !strncmp(line, key, strlen(key));
  if (stream) fclose(stream);
  return found;
}

/* Killed, and on its way out or about to be. */
static int is_ending(uint32_t pid) {
  char line[512];
  unsigned long long pending = 0;
  unsigned flags = 0;
  if (read_line(pid, "status", "SigPnd:", line, sizeof line) && sscanf(line, "SigPnd: %llx", &pending) == 1 &&
      pending & KILL_PENDING)
    return 1;
  if (!read_line(pid, "stat", "", line, sizeof line)) return 0;
  const char *end = strrchr(line, ')'); /* the name before it may have anything */
  return end && sscanf(end, ") %*c %*d %*d %*d %*d %*d %u", &flags) == 1 && flags & EXITING;
}

static int error_for(const struct waiting *one, time_t time) {
  const time_t waits = time - one->since;
  if (waits >= PARENT_WAITS_SECONDS && one->pid == (uint32_t)getppid()) return EIO;
  return waits >= KILLED_WAITS_SECONDS && is_ending(one->pid) ? EINTR : 0;
}

static void *answer_for_the_server(void *argument) {
  const struct pump *pump = argument;
  for (;;) {
    sleep(LOOK_EVERY_SECONDS);
    const time_t time = now();
    for (size_t i = 0; i < WAITING; i++) {
      const uint64_t unique = atomic_load(&waiting[i].unique);
      const int error = unique ? error_for(&waiting[i], time) : 0;
      if (!error || !take(unique)) continue;
      const struct fuse_out_header reply = {.len = sizeof reply, .error = -error, .unique = unique};
      if (write(pump->device, &reply, sizeof reply) < 0 && errno != ENOENT) _exit(0);
    }
  }
}

SYS_FUNCTION(f_fuse_pump) {
  static struct pump pump;
  pthread_t thread;
  SYS_ARGS("ff", &pump.device, &pump.stream);
  int error = pthread_create(&thread, NULL, pump_replies, &pump);
  if (!error) error = pthread_create(&thread, NULL, answer_for_the_server, &pump);
  if (error) return sys_failure(ctx, error);
  pump_requests(&pump);
  _exit(0);
}

static const JSCFunctionListEntry functions[] = {JS_CFUNC_DEF("fusePump", 2, f_fuse_pump)};
SYS_GROUP(sys_fuse_pump_group, functions);
