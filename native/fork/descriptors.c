/*
 * The copy's descriptors: under each number that the original has open, something of the copy's own.
 *
 * The original describes what it has open while its threads stand still, since the copy may have no /proc. Files and
 * listening sockets are replaced by those that came with the request, taps too, eventfds and connections are made anew, and
 * what is read-only stays shared. Follows proc(5), eventfd(2), unix(7). A descriptor of an unknown kind is refused: it may be the
 * original's disk.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm-fork.h"

enum { MAX_DESCRIPTORS = 1024 };

enum kind {
  KIND_NONE,
  KIND_CLOSED,     /* belongs to the library: the copy closes it */
  KIND_SHARED,     /* nobody writes to it, or writing to it has no effect */
  KIND_EVENT,
  KIND_POLL,       /* an epoll that watches nothing */
  KIND_CONNECTION, /* belongs to the original: to the copy it has ended */
  KIND_GIVEN,      /* one of the request takes its place */
  KIND_TAP,        /* so does one of the request, which gets what the VMM has set */
};

static struct {
  enum kind kind;
  int flags;
  int given;
  uint64_t count;
} table[MAX_DESCRIPTORS];

/* Writes `directory`, then the number. */
static void number_path(char *end, const char *directory, int number) {
  end = stpcpy(end, directory);
  for (int unit = 1000; unit > 0; unit /= 10)
    if (number >= unit || unit == 1) *end++ = (char)('0' + number / unit % 10);
  *end = '\0';
}

/* The key of the request that is "DEVICE:INODE" of this file, or -1. */
static int find_file(const struct stat *status, char **keys, int count) {
  for (int index = 0; index < count; index++) {
    char *end;
    if (strtoull(keys[index], &end, 10) != status->st_dev || *end != ':') continue;
    if (strtoull(end + 1, &end, 10) == status->st_ino && *end == '\0') return index;
  }
  return -1;
}

/* The key that is "socket:NAME", where NAME is the last part of the path that the socket listens at; or -1. */
static int find_socket(int place, char **keys, int count) {
  static const char prefix[] = "socket:";
  struct sockaddr_un address = {0};
  socklen_t size = sizeof address - 1;
  if (getsockname(place, (struct sockaddr *)&address, &size) < 0 || address.sun_family != AF_UNIX) return -1;
  const char *slash = strrchr(address.sun_path, '/');
  for (int index = 0; slash != NULL && index < count; index++)
    if (strncmp(keys[index], prefix, sizeof prefix - 1) == 0 && strcmp(keys[index] + sizeof prefix - 1, slash + 1) == 0)
      return index;
  return -1;
}

/* The key that is "tap:NUMBER", where NUMBER is this descriptor; or -1. */
static int find_tap(int place, char **keys, int count) {
  static const char prefix[] = "tap:";
  for (int index = 0; index < count; index++) {
    if (strncmp(keys[index], prefix, sizeof prefix - 1) != 0) continue;
    char *end;
    if (strtol(keys[index] + sizeof prefix - 1, &end, 10) == place && *end == '\0') return index;
  }
  return -1;
}

/* devices(4): /dev/net/tun */
static bool is_tap(const struct stat *status) {
  return S_ISCHR(status->st_mode) && status->st_rdev == makedev(10, 200);
}

static bool is_harmless(int place, int flags, const struct stat *status) {
  if (S_ISCHR(status->st_mode)) {
    /* /dev/null and /dev/urandom: devices(4) */
    return status->st_rdev == makedev(1, 3) || status->st_rdev == makedev(1, 9);
  }
  if (S_ISREG(status->st_mode) && (flags & O_ACCMODE) == O_RDONLY) return true;
  /* the memory of a template is sealed against writing */
  int seals = fcntl(place, F_GET_SEALS);
  return seals >= 0 && (seals & F_SEAL_WRITE) != 0;
}

/* What the kernel tells of a descriptor, as text. Returns 0 or -errno. */
static int read_info(int place, char *text, size_t capacity) {
  char path[64];
  number_path(path, "fdinfo/", place);
  int info = openat(proc_self, path, O_RDONLY | O_CLOEXEC);
  ssize_t size = info < 0 ? -1 : read(info, text, capacity - 1);
  if (info >= 0) close(info);
  if (size < 0) return -EIO;
  text[size] = '\0';
  return 0;
}

/* Files of no type: eventfds and the like. */
static int describe_anonymous(int place) {
  char path[64], target[64], text[512];
  number_path(path, "fd/", place);
  ssize_t size = readlinkat(proc_self, path, target, sizeof target - 1);
  target[size < 0 ? 0 : size] = '\0';
  if (strcmp(target, "anon_inode:[signalfd]") == 0) {
    table[place].kind = KIND_SHARED;
    return 0;
  }
  if (read_info(place, text, sizeof text) < 0) return -EIO;
  if (strcmp(target, "anon_inode:[eventpoll]") == 0) {
    table[place].kind = KIND_POLL;
    return strstr(text, "tfd:") == NULL ? 0 : -ENOTSUP;
  }
  const char *field = strstr(text, "eventfd-count:");
  if (strcmp(target, "anon_inode:[eventfd]") != 0 || field == NULL) return -ENOTSUP;
  table[place].kind = KIND_EVENT;
  table[place].count = strtoull(field + strlen("eventfd-count:"), NULL, 16);
  return 0;
}

static int describe(int place, char **keys, int count) {
  struct stat status;
  int flags = table[place].flags;
  if (fstat(place, &status) < 0) return -errno;
  if (S_ISSOCK(status.st_mode)) {
    int listens = 0;
    socklen_t size = sizeof listens;
    getsockopt(place, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size);
    table[place].kind = listens ? KIND_GIVEN : KIND_CONNECTION;
    table[place].given = listens ? find_socket(place, keys, count) : -1;
    return listens && table[place].given < 0 ? -ENOTSUP : 0;
  }
  if (is_tap(&status)) {
    table[place].kind = KIND_TAP;
    table[place].given = find_tap(place, keys, count);
    return table[place].given < 0 ? -ENOTSUP : 0;
  }
  table[place].given = find_file(&status, keys, count);
  table[place].kind = table[place].given < 0 ? KIND_SHARED : KIND_GIVEN;
  if (table[place].given >= 0 || is_harmless(place, flags, &status)) return 0;
  return (status.st_mode & S_IFMT) == 0 ? describe_anonymous(place) : -ENOTSUP;
}

int descriptors_describe(char **keys, const int *given, int count) {
  for (int place = 0; place < MAX_DESCRIPTORS; place++) {
    int flags = fcntl(place, F_GETFL);
    table[place].kind = flags < 0 ? KIND_NONE : KIND_CLOSED;
    table[place].flags = flags;
    bool own = place == control || place == proc_self;
    for (int index = 0; index < count; index++) own = own || given[index] == place;
    if (flags < 0 || own) continue;
    int result = describe(place, keys, count);
    if (result < 0) {
      char number[16];
      number_path(number, "", place);
      complain("a descriptor that is not known", number);
      return result;
    }
  }
  return 0;
}

/* Moves `by` to the number `place`, which keeps its close-on-exec flag. */
static void replace(int by, int place, const char *what) {
  int flags = fcntl(place, F_GETFD);
  if (by < 0 || dup3(by, place, flags & FD_CLOEXEC ? O_CLOEXEC : 0) < 0) give_up("replace", what);
}

/* An eventfd of the copy's own, with the same count. A shared one would wake original and copy. */
static void renew_event(int place) {
  int event = eventfd(0, table[place].flags & O_NONBLOCK ? EFD_NONBLOCK : 0);
  uint64_t count = table[place].count;
  if (count > 0 && write(event, &count, sizeof count) < 0) give_up("count", "an event");
  replace(event, place, "an event");
  close(event);
}

static void renew_poll(int place) {
  int poll = epoll_create1(EPOLL_CLOEXEC);
  replace(poll, place, "an epoll");
  close(poll);
}

static void renew_connection(int place) {
  int pair[2], type = SOCK_STREAM | (table[place].flags & O_NONBLOCK ? SOCK_NONBLOCK : 0);
  if (socketpair(AF_UNIX, type, 0, pair) < 0) give_up("socketpair", "a connection");
  close(pair[1]);
  replace(pair[0], place, "a connection");
  close(pair[0]);
}

static void use_given(int place, const int *given) {
  const int kept = O_NONBLOCK | O_DIRECT | O_APPEND;
  int by = given[table[place].given];
  replace(by, place, "a file");
  if (fcntl(place, F_SETFL, table[place].flags & kept) < 0) give_up("set the flags of", "a file");
}

void descriptors_renew(const int *given, int count) {
  for (int place = 0; place < MAX_DESCRIPTORS; place++) {
    if (table[place].kind == KIND_EVENT) renew_event(place);
    if (table[place].kind == KIND_POLL) renew_poll(place);
    if (table[place].kind == KIND_CONNECTION) renew_connection(place);
    if (table[place].kind == KIND_GIVEN || table[place].kind == KIND_TAP) use_given(place, given);
    if (table[place].kind == KIND_TAP && !taps_repeat(place)) give_up("set up", "a tap");
  }
  for (int index = 0; index < count; index++) close(given[index]);
  close(proc_self);
  close(control);
}
