/*
 * Makes a running VMM forkable: this library is preloaded into it (ld.so(8)) and waits on a socket for requests.
 *
 * A request forks the whole process with all of its threads, so that the copy goes on where the original is, its
 * translated code included: threads.c stops the threads, clone(2) makes the copy as a sibling (CLONE_PARENT), copy.c and
 * descriptors.c make it independent. Of QEMU it knows that it asks for MADV_DONTFORK and loads a system call filter.
 *
 * A request is its length (4 bytes), then strings that end with NUL: uid, gid ("" = keep both), mask of capabilities to
 * keep, directory for sockets, name to show in the command line, and pairs of files: one that is open, and the one that
 * takes its place. The answer is the copy's pid or -errno (4 bytes).
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm-fork.h"

enum {
  MAX_REQUEST = 16384,
  MAX_WORDS = 32,
};

int control = -1;
struct sock_fprog filter;
char *shown_name;

/* Returns the copy's pid, or -errno. */
static int fork_whole(char **words, int count) {
  int others = threads_stop_others();
  int copy = others;
  if (others >= 0) {
    copy = (int)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, 0L);
    if (copy == 0) become_whole(words, count, others);
    if (copy < 0) copy = -errno;
  }
  threads_let_go();
  return copy;
}

static bool transfer(void *bytes, size_t size, bool out) {
  for (size_t at = 0; at < size;) {
    ssize_t some = out ? write(control, (char *)bytes + at, size - at) : read(control, (char *)bytes + at, size - at);
    if (some < 0 && errno == EINTR) continue;
    if (some <= 0) return false;
    at += (size_t)some;
  }
  return true;
}

static void *serve(void *nothing) {
  static char request[MAX_REQUEST];
  uint32_t size;
  while (transfer(&size, sizeof size, false) && size > 0 && size <= sizeof request && transfer(request, size, false)) {
    char *words[MAX_WORDS];
    int count = 0;
    int32_t answer = -EINVAL;
    if (request[size - 1] == '\0')
      for (char *word = request; word < request + size && count < MAX_WORDS; word += strlen(word) + 1) words[count++] = word;
    if (count >= FIRST_PAIR && (count - FIRST_PAIR) % 2 == 0) answer = fork_whole(words, count);
    if (!transfer(&answer, sizeof answer, true)) break;
  }
  close(control);
  return nothing;
}

/* QEMU asks that no child gets its guest's memory. A copy needs it. */
__attribute__((visibility("default"))) int madvise(void *address, size_t size, int advice) {
  if (advice == MADV_DONTFORK && control >= 0) return 0;
  return (int)syscall(SYS_madvise, address, size, advice);
}

/* Keeps the filter for the copies. The original runs no pod, and has to be allowed to fork. */
__attribute__((visibility("default"))) int seccomp_load(const void *context) {
  int (*export)(const void *, int) = (int (*)(const void *, int))dlsym(RTLD_NEXT, "seccomp_export_bpf");
  int (*load)(const void *) = (int (*)(const void *))dlsym(RTLD_NEXT, "seccomp_load");
  if (load == NULL || export == NULL) return -ENOSYS;
  if (control < 0) return load(context);
  int file = memfd_create("filter", MFD_CLOEXEC);
  if (file < 0) return -errno;
  struct stat status;
  int result = export(context, file);
  if (result == 0 && fstat(file, &status) == 0 && filter.len == 0) {
    filter.filter = malloc((size_t)status.st_size);
    if (filter.filter == NULL || pread(file, filter.filter, (size_t)status.st_size, 0) != status.st_size)
      result = -EIO;
    else
      filter.len = (unsigned short)((size_t)status.st_size / sizeof(struct sock_filter));
  } else if (result == 0) {
    result = -EEXIST;
  }
  close(file);
  return result;
}

/* Runs before main; glibc passes it main's arguments. */
__attribute__((constructor)) static void begin(int count, char **arguments) {
  for (int index = 1; index + 1 < count; index++)
    if (strcmp(arguments[index], "-name") == 0) shown_name = arguments[index + 1];
  const char *number = getenv("BLAZAR_FORK_FD");
  if (number == NULL) return;
  control = (int)strtol(number, NULL, 10);
  unsetenv("BLAZAR_FORK_FD");
  fcntl(control, F_SETFD, FD_CLOEXEC);
  fcntl(control, F_SETFL, 0);
  pthread_t thread;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  bool works = threads_begin() && pthread_create(&thread, NULL, serve, NULL) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (!works) {
    close(control);
    control = -1;
  }
}
