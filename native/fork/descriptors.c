/*
 * The copy's descriptors: under each number that the original has open, something of the copy's own.
 *
 * Named files are replaced by those of the request, eventfds and sockets are made anew, and what is read-only stays
 * shared. Follows proc(5), eventfd(2), unix(7). A descriptor of an unknown kind ends the copy: it may be the original's
 * disk.
 */
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "vmm-fork.h"

enum { MAX_DESCRIPTORS = 1024 };

/* Moves `by` to the number `place`, which keeps its close-on-exec flag. */
static void replace(int by, int place, const char *what) {
  int flags = fcntl(place, F_GETFD);
  if (by < 0 || dup3(by, place, flags & FD_CLOEXEC ? O_CLOEXEC : 0) < 0) give_up("replace", what);
  close(by);
}

/* An eventfd of the copy's own, with the same count. A shared one would wake original and copy. */
static void renew_event(int place, int flags, const char *number) {
  char path[64], text[256];
  strcpy(stpcpy(path, "/proc/self/fdinfo/"), number);
  int info = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t size = info < 0 ? -1 : read(info, text, sizeof text - 1);
  if (size < 0) give_up("read", path);
  close(info);
  text[size] = '\0';
  const char *field = strstr(text, "eventfd-count:");
  if (field == NULL) give_up("read the count of an event", path);
  uint64_t count = strtoull(field + strlen("eventfd-count:"), NULL, 16);
  int event = eventfd(0, flags & O_NONBLOCK ? EFD_NONBLOCK : 0);
  if (count > 0 && write(event, &count, sizeof count) < 0) give_up("count", path);
  replace(event, place, "an event");
}

/* A listening socket listens again, in `directory`. A connection belongs to the original: to the copy it has ended. */
static void renew_socket(int place, int flags, const char *directory) {
  int listens = 0, type = SOCK_STREAM | (flags & O_NONBLOCK ? SOCK_NONBLOCK : 0);
  socklen_t size = sizeof listens;
  getsockopt(place, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size);
  if (!listens) {
    int pair[2];
    if (socketpair(AF_UNIX, type, 0, pair) < 0) give_up("socketpair", "a connection");
    close(pair[1]);
    replace(pair[0], place, "a connection");
    return;
  }
  struct sockaddr_un address = {0};
  size = sizeof address - 1;
  if (getsockname(place, (struct sockaddr *)&address, &size) < 0 || address.sun_family != AF_UNIX)
    give_up("getsockname", "a socket that is none of a directory");
  char name[sizeof address.sun_path];
  const char *slash = strrchr(address.sun_path, '/');
  if (slash == NULL) give_up("name a socket", address.sun_path);
  strcpy(name, slash);
  if (strlen(directory) + strlen(name) >= sizeof address.sun_path) give_up("name a socket", directory);
  strcpy(stpcpy(address.sun_path, directory), name);
  int listener = socket(AF_UNIX, type, 0);
  if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 1) < 0)
    give_up("listen", address.sun_path);
  replace(listener, place, address.sun_path);
}

/* What the copy may share with the original: nobody writes to it, or writing to it has no effect. */
static bool is_harmless(int place, int flags, const char *target) {
  struct stat status;
  static const char *const known[] = {"/dev/null", "/dev/urandom", "anon_inode:[signalfd]"};
  for (size_t index = 0; index < sizeof known / sizeof *known; index++)
    if (strcmp(target, known[index]) == 0) return true;
  if (fstat(place, &status) < 0) return false;
  if (S_ISREG(status.st_mode) && (flags & O_ACCMODE) == O_RDONLY) return true;
  /* the memory of a template is sealed against writing */
  int seals = fcntl(place, F_GET_SEALS);
  return seals >= 0 && (seals & F_SEAL_WRITE) != 0;
}

void renew_descriptors(const char *directory, char **pairs, int count) {
  static const char prefix[] = "/proc/self/fd/";
  for (int place = 0; place < MAX_DESCRIPTORS; place++) {
    int flags = fcntl(place, F_GETFL);
    if (flags < 0 || place == control) continue;
    char path[32], target[PATH_MAX];
    char *end = stpcpy(path, prefix);
    for (int unit = 1000; unit > 0; unit /= 10)
      if (place >= unit || unit == 1) *end++ = (char)('0' + place / unit % 10);
    *end = '\0';
    ssize_t size = readlink(path, target, sizeof target - 1);
    if (size < 0) give_up("readlink", path);
    target[size] = '\0';
    int pair = 0;
    while (pair < count && strcmp(pairs[pair], target) != 0) pair += 2;
    const int kept = O_ACCMODE | O_NONBLOCK | O_DIRECT | O_APPEND | O_DIRECTORY;
    /* of the files that take the place of others, only a log (O_APPEND) may have to be made */
    if (pair < count)
      replace(open(pairs[pair + 1], (flags & kept) | (flags & O_APPEND ? O_CREAT | O_NOFOLLOW : 0), 0600), place,
              pairs[pair + 1]);
    else if (strcmp(target, "anon_inode:[eventfd]") == 0)
      renew_event(place, flags, path + sizeof prefix - 1);
    else if (strncmp(target, "socket:", 7) == 0)
      renew_socket(place, flags, directory);
    else if (!is_harmless(place, flags, target))
      give_up("a descriptor that is not known", target);
  }
}

