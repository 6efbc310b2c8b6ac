/*
 * Makes a running VMM forkable: this library is preloaded into it (ld.so(8)) and waits on a socket for requests.
 *
 * A request forks the whole process with all of its threads, so that the copy goes on where the original is, its
 * translated code included: threads.c stops the threads, clone(2) makes the copy as a sibling (CLONE_PARENT), copy.c,
 * descriptors.c and taps.c make it independent. Of QEMU it knows that it asks for MADV_DONTFORK and loads a system call filter.
 *
 * A request is its length (4 bytes), then strings that end with NUL: uid, gid ("" = keep both), mask of capabilities to
 * keep, name to show in the command line, "jail" if the copy gets namespaces of its own (else ""), and a key for each
 * descriptor that comes with the length (SCM_RIGHTS): which of the original's it replaces. For a jail one or two more
 * descriptors come last: files with system call filters, which the copy loads in this order. The answer is the copy's pid, as
 * the original's PID namespace counts it, or -errno (4 bytes).
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
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm-fork.h"

enum {
  MAX_REQUEST = 16384,
  MAX_WORDS = 32,
  MAX_GIVEN = 24,
  MAX_INSTRUCTIONS = 1024, /* of a filter */
};

int control = -1;
int proc_self = -1;
struct sock_fprog filter, walls[MAX_WALLS];
char *shown_name;

/* Returns the copy's pid, or -errno. */
static int fork_whole(char **words, const int *given, int count) {
  int others = threads_stop_others();
  int copy = others;
  if (others >= 0) copy = descriptors_describe(words + FIRST_KEY, given, count);
  if (copy >= 0) {
    unsigned long flags = CLONE_PARENT | SIGCHLD | (*words[WORD_JAIL] == '\0' ? 0 : CLONE_NEWPID);
    copy = (int)syscall(SYS_clone, flags, NULL, NULL, NULL, 0L);
    if (copy == 0) become_whole(words, given, count, others);
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

/* Reads the length of a request and the descriptors that come with it. Returns how many they are, or -1. */
static int receive(uint32_t *size, int *given) {
  _Alignas(struct cmsghdr) char space[CMSG_SPACE(MAX_GIVEN * sizeof(int))];
  struct iovec data = {size, sizeof *size};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
  ssize_t some;
  int count = 0;
  do some = recvmsg(control, &message, MSG_CMSG_CLOEXEC);
  while (some < 0 && errno == EINTR);
  if (some <= 0) return -1;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    count = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    memcpy(given, CMSG_DATA(header), (size_t)count * sizeof(int));
  }
  return transfer((char *)size + some, sizeof *size - (size_t)some, false) ? count : -1;
}

/* A filter of the copy's jail. Returns 0 or -errno. */
static int read_wall(int index, int file) {
  static struct sock_filter programs[MAX_WALLS][MAX_INSTRUCTIONS];
  struct sock_filter *program = programs[index];
  ssize_t size = pread(file, program, sizeof programs[index], 0);
  if (size <= 0 || (size_t)size == sizeof programs[index] || (size_t)size % sizeof *program != 0) return -EINVAL;
  walls[index] = (struct sock_fprog){.len = (unsigned short)((size_t)size / sizeof *program), .filter = program};
  return 0;
}

/* Closes the filters' files, which are no descriptors of the copy's. */
static int32_t answer_to(char **words, int count, const int *given, int *descriptors) {
  if (count < FIRST_KEY) return -EINVAL;
  int keys = count - FIRST_KEY, extra = *descriptors - keys, result = 0;
  bool jailed = *words[WORD_JAIL] != '\0';
  if (jailed ? extra < 1 || extra > MAX_WALLS : extra != 0) return -EINVAL;
  memset(walls, 0, sizeof walls);
  for (int index = 0; index < extra; index++) {
    if (result == 0) result = read_wall(index, given[keys + index]);
    close(given[keys + index]);
  }
  *descriptors = keys;
  return result < 0 ? result : fork_whole(words, given, keys);
}

static void *serve(void *nothing) {
  static char request[MAX_REQUEST];
  uint32_t size;
  int given[MAX_GIVEN], descriptors;
  while ((descriptors = receive(&size, given)) >= 0 && size > 0 && size <= sizeof request && transfer(request, size, false)) {
    char *words[MAX_WORDS];
    int count = 0;
    int32_t answer = -EINVAL;
    if (request[size - 1] == '\0')
      for (char *word = request; word < request + size && count < MAX_WORDS; word += strlen(word) + 1) words[count++] = word;
    if (count > 0) answer = answer_to(words, count, given, &descriptors);
    for (int index = 0; index < descriptors; index++) close(given[index]);
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
  if (getenv("BLAZAR_LAST_PROGRAM") != NULL) programs_forbid();
  const char *number = getenv("BLAZAR_FORK_FD");
  if (number == NULL) return;
  control = (int)strtol(number, NULL, 10);
  unsetenv("BLAZAR_FORK_FD");
  proc_self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
  fcntl(control, F_SETFD, FD_CLOEXEC);
  fcntl(control, F_SETFL, 0);
  pthread_t thread;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  bool works = proc_self >= 0 && threads_begin() && pthread_create(&thread, NULL, serve, NULL) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (!works) {
    close(control);
    control = -1;
  }
}
