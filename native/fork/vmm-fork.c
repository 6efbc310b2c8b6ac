/*
 * Makes a running VMM forkable: preloaded into it (ld.so(8)), it waits on a socket for requests to fork the whole
 * process, all threads included, so that the copy goes on where the original is, with translated code and all.
 *
 * Every thread is sent a signal whose handler notes its context; the process is cloned as the sibling of its original
 * (CLONE_PARENT); the copy's first thread changes user, takes files of its own and confines itself as the VMM wanted to be,
 * then clones the threads anew on their old stacks. Follows clone(2), futex(2), sigaction(2), seccomp(2). It knows glibc
 * on x86-64 and nothing of QEMU but that it asks for MADV_DONTFORK and loads a filter. While threads are stopped it must not
 * use malloc or stdio: one of them may hold their locks. What it does not understand ends the copy, never the original.
 *
 * A request: its length (4 bytes), then strings that end with NUL: uid, gid ("" = keep), mask of capabilities to keep, the
 * directory for sockets, the name that the command line shall show (as much of it as fits), and pairs of a file that is
 * open and the one that takes its place. The answer: pid or -errno (4 bytes).
 */
#include <errno.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <linux/filter.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef __x86_64__
#error "only x86-64: the place of a thread's id in glibc's descriptor is known for no other"
#endif

enum {
  STOP_SIGNAL = SIGILL, /* one of those that QEMU leaves unblocked in every thread */
  MAX_THREADS = 64,
  MAX_REQUEST = 16384,
  MAX_WORDS = 32,
  MAX_DESCRIPTORS = 1024,
  STOP_MS = 1000,
  STACK = 8192,
  TID_OFFSET = 720, /* of `tid` in glibc's struct pthread; checked before it is used */
  CONFUSED = 125,   /* status of a copy that could not be made whole */
};

struct thread {
  ucontext_t context;
  char *descriptor;
  pid_t tid;
  char stack[STACK] __attribute__((aligned(16)));
};

static struct thread threads[MAX_THREADS];
static uint32_t taken, stopped;
static uint32_t generation; /* odd while threads are stopped */
static volatile bool is_copy;
static bool broken; /* a thread did not stop in time, and may yet */
static int control = -1;
static struct sock_fprog filter;
static char *shown_name; /* in the command line, of which ps(1) shows what is there */

static void wait_on(uint32_t *word, uint32_t value, const struct timespec *limit) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, limit, NULL, 0);
}

static void wake(uint32_t *word) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static pid_t *tid_of(char *descriptor) {
  return (pid_t *)(void *)(descriptor + TID_OFFSET);
}

/* In every thread but the one that forks: notes where it is and waits. In the copy it goes on from there. */
static void stop_here(int number, siginfo_t *info, void *context) {
  (void)context;
  int error = errno;
  uint32_t now = __atomic_load_n(&generation, __ATOMIC_ACQUIRE);
  if (info->si_code != SI_TKILL) {
    /* a real fault: it happens again, and ends the process */
    signal(number, SIG_DFL);
    return;
  }
  if (!(now & 1)) return;
  uint32_t index = __atomic_fetch_add(&taken, 1, __ATOMIC_ACQ_REL);
  if (index >= MAX_THREADS) return;
  struct thread *self = &threads[index];
  self->descriptor = (char *)(void *)pthread_self();
  self->tid = (pid_t)syscall(SYS_gettid);
  getcontext(&self->context);
  if (!is_copy) {
    __atomic_fetch_add(&stopped, 1, __ATOMIC_ACQ_REL);
    wake(&stopped);
    while (__atomic_load_n(&generation, __ATOMIC_ACQUIRE) == now) wait_on(&generation, now, NULL);
  }
  errno = error;
}

/* Signals all other threads. Returns how many, or -errno. */
static int signal_others(void) {
  pid_t process = getpid(), self = (pid_t)syscall(SYS_gettid);
  int directory = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return -errno;
  struct entry {
    uint64_t inode, offset;
    uint16_t length;
    uint8_t type;
    char name[];
  };
  char buffer[4096] __attribute__((aligned(8)));
  int count = 0;
  long size;
  while ((size = syscall(SYS_getdents64, directory, buffer, sizeof buffer)) > 0) {
    for (long at = 0; at < size;) {
      struct entry *entry = (struct entry *)(void *)(buffer + at);
      at += entry->length;
      pid_t thread = (pid_t)strtol(entry->name, NULL, 10);
      if (thread <= 0 || thread == self) continue;
      if (syscall(SYS_tgkill, process, thread, STOP_SIGNAL) == 0) count++;
    }
  }
  close(directory);
  return size < 0 ? -EIO : count;
}

/* Stops all other threads. Returns how many, or -errno; then they may be let go. */
static int stop_others(void) {
  if (broken) return -ENOTRECOVERABLE;
  taken = stopped = 0;
  __atomic_fetch_add(&generation, 1, __ATOMIC_ACQ_REL);
  int count = signal_others();
  if (count < 0) return count;
  if (count > MAX_THREADS) return -EUSERS;
  for (int waited = 0; __atomic_load_n(&stopped, __ATOMIC_ACQUIRE) < (uint32_t)count; waited++) {
    if (waited == STOP_MS) {
      broken = true;
      return -ETIMEDOUT;
    }
    struct timespec millisecond = {.tv_nsec = 1000000};
    uint32_t seen = __atomic_load_n(&stopped, __ATOMIC_ACQUIRE);
    if (seen < (uint32_t)count) wait_on(&stopped, seen, &millisecond);
  }
  for (int index = 0; index < count; index++)
    if (*tid_of(threads[index].descriptor) != threads[index].tid) return -ENOTSUP;
  return count;
}

static void let_go(void) {
  __atomic_fetch_add(&generation, 1, __ATOMIC_ACQ_REL);
  wake(&generation);
}

/* Ends the copy; the reason goes to the log that it shares with its original or has got already. */
static void __attribute__((noreturn)) give_up(const char *what, const char *name) {
  char line[512];
  char *end = stpcpy(line, "fork: ");
  end = stpncpy(end, what, 100);
  end = stpcpy(end, ": ");
  end = stpncpy(end, name, 300);
  end = stpcpy(end, "\n");
  if (write(STDERR_FILENO, line, (size_t)(end - line)) < 0) syscall(SYS_exit_group, CONFUSED);
  for (;;) syscall(SYS_exit_group, CONFUSED);
}

static void show_name(const char *name) {
  if (shown_name == NULL || *name == '\0') return;
  for (char *at = shown_name; *at != '\0'; at++) *at = *name != '\0' ? *name++ : ' ';
}

/* As another user, with the named capabilities and no others. Before there are threads: they inherit it. */
static void become(const char *uid, const char *gid, const char *mask) {
  if (*uid == '\0') return;
  long user = strtol(uid, NULL, 10), group = strtol(gid, NULL, 10);
  uint64_t kept = strtoull(mask, NULL, 16);
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2] = {
      {.effective = (uint32_t)kept, .permitted = (uint32_t)kept},
      {.effective = (uint32_t)(kept >> 32), .permitted = (uint32_t)(kept >> 32)},
  };
  if (syscall(SYS_setgroups, 0, NULL) < 0) give_up("setgroups", "none");
  if (syscall(SYS_setresgid, group, group, group) < 0) give_up("setresgid", gid);
  if (syscall(SYS_setresuid, user, user, user) < 0) give_up("setresuid", uid);
  if (syscall(SYS_capset, &header, data) < 0) give_up("capset", mask);
}

/* Puts one descriptor in the place of another, with the flag that this one had. */
static void replace(int by, int place, const char *what) {
  int flags = fcntl(place, F_GETFD);
  if (by < 0 || dup3(by, place, flags & FD_CLOEXEC ? O_CLOEXEC : 0) < 0) give_up("replace", what);
  close(by);
}

/* An eventfd of its own with the same count: the original's would wake both. */
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

/* A listening socket listens again in `directory`; a connection, which is the original's, has ended. */
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

/* What may be shared: nobody writes to it, or nothing comes of it. */
static bool is_harmless(int place, int flags, const char *target) {
  struct stat status;
  static const char *const known[] = {"/dev/null", "/dev/urandom", "anon_inode:[signalfd]"};
  for (size_t index = 0; index < sizeof known / sizeof *known; index++)
    if (strcmp(target, known[index]) == 0) return true;
  if (fstat(place, &status) < 0) return false;
  if (S_ISREG(status.st_mode) && (flags & O_ACCMODE) == O_RDONLY) return true;
  /* a template's memory, that cannot be written to */
  int seals = fcntl(place, F_GET_SEALS);
  return seals >= 0 && (seals & F_SEAL_WRITE) != 0;
}

/* Gives the copy descriptors of its own under the numbers of its original's. */
static void renew_descriptors(const char *directory, char **pairs, int count) {
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
    /* a log is made, all else is there */
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

static int go_on(void *argument) {
  struct thread *self = argument;
  setcontext(&self->context);
  give_up("setcontext", "a thread");
}

/* The copy, which has one thread: everything that it must not share, then the others. Does not return. */
static void __attribute__((noreturn)) become_whole(char **words, int count, int others) {
  is_copy = true;
  *tid_of((char *)(void *)pthread_self()) = (pid_t)syscall(SYS_gettid);
  setsid();
  become(words[0], words[1], words[2]);
  renew_descriptors(words[3], words + 5, count - 5);
  show_name(words[4]);
  close(control);
  if (filter.len > 0) {
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) give_up("prctl", "no new privileges");
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) < 0) give_up("seccomp", "the VMM's filter");
  }
  const int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS |
                    CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
  for (int index = 0; index < others; index++) {
    struct thread *thread = &threads[index];
    pid_t *tid = tid_of(thread->descriptor);
    if (clone(go_on, thread->stack + STACK, flags, thread, tid, thread->descriptor, tid) < 0) give_up("clone", "a thread");
  }
  for (;;) pause();
}

/* Returns the copy's pid, or -errno. */
static int fork_whole(char **words, int count) {
  int others = stop_others();
  int copy = others;
  if (others >= 0) {
    copy = (int)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, 0L);
    if (copy == 0) become_whole(words, count, others);
    if (copy < 0) copy = -errno;
  }
  let_go();
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
    if (count >= 5 && count % 2 == 1) answer = fork_whole(words, count);
    if (!transfer(&answer, sizeof answer, true)) break;
  }
  close(control);
  return nothing;
}

/* QEMU wants its guests' memory in no child. These are copies of it. */
__attribute__((visibility("default"))) int madvise(void *address, size_t size, int advice) {
  if (advice == MADV_DONTFORK && control >= 0) return 0;
  return (int)syscall(SYS_madvise, address, size, advice);
}

/* The filter is for the copies: the original has to fork, and serves nobody. */
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

/* glibc calls it with main's arguments. */
__attribute__((constructor)) static void begin(int count, char **arguments) {
  for (int index = 1; index + 1 < count; index++)
    if (strcmp(arguments[index], "-name") == 0) shown_name = arguments[index + 1];
  const char *number = getenv("BLAZAR_FORK_FD");
  if (number == NULL) return;
  control = (int)strtol(number, NULL, 10);
  unsetenv("BLAZAR_FORK_FD");
  fcntl(control, F_SETFD, FD_CLOEXEC);
  fcntl(control, F_SETFL, 0);
  struct sigaction action = {.sa_flags = SA_SIGINFO | SA_RESTART};
  action.sa_sigaction = stop_here;
  sigfillset(&action.sa_mask);
  pthread_t thread;
  sigset_t before;
  pthread_sigmask(SIG_SETMASK, &action.sa_mask, &before);
  bool works = sigaction(STOP_SIGNAL, &action, NULL) == 0 && pthread_create(&thread, NULL, serve, NULL) == 0;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (!works) {
    close(control);
    control = -1;
  }
}
