/*
 * Stops all threads of a process and, in a copy of the process, clones them anew.
 *
 * Every thread is sent a signal, whose handler notes the thread's context: sigaction(2), tgkill(2), futex(2),
 * getcontext(3), clone(2). It knows glibc on x86-64, namely where the descriptor of a thread holds the thread's id.
 * A thread that does not stop in time may stop later, so no fork is tried after that.
 *
 * Threads are stopped where they wait in a system call. A thread that runs may hold a recursive mutex, which knows its owner
 * by the thread's id (pthread_mutex_lock(3)): in the copy the thread has another one, and cannot unlock it. A thread runs
 * after each fork, because the signal has ended its system call.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "vmm-fork.h"

#ifndef __x86_64__
#error "only x86-64: glibc's descriptor of a thread is known for no other architecture"
#endif

enum {
  STOP_SIGNAL = SIGILL, /* QEMU leaves it unblocked in every thread */
  MAX_THREADS = 64,
  STOP_MS = 1000,
  REST_TRIES = 500, /* a millisecond each */
  STACK = 8192,
  TID_OFFSET = 720, /* of `tid` in glibc's struct pthread; checked before it is used */
};

struct thread {
  ucontext_t context;
  char *descriptor;
  pid_t tid;
  bool rests; /* it was waiting in a system call */
  char stack[STACK] __attribute__((aligned(16)));
};

static struct thread threads[MAX_THREADS];
static uint32_t taken, stopped;
static uint32_t generation; /* odd while threads are stopped */
static volatile bool is_copy;
static bool broken; /* a thread did not stop in time, and may still stop */

static void wait_on(uint32_t *word, uint32_t value, const struct timespec *limit) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, limit, NULL, 0);
}

static void wake(uint32_t *word) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static pid_t *tid_of(char *descriptor) {
  return (pid_t *)(void *)(descriptor + TID_OFFSET);
}

/* Whether a system call does nothing but wait. Of those that the kernel makes again, QEMU has threads in these. */
static bool only_waits(long number, long second) {
  long command = second & FUTEX_CMD_MASK;
  if (number == SYS_futex) return command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET;
  return number == SYS_read || number == SYS_recvmsg || number == SYS_poll || number == SYS_ppoll;
}

/*
 * Whether the kernel has ended a wait for the signal (signal(7)): either the call has failed with EINTR, or it is to be made
 * again. A thread that was about to make it for the first time looks the same, and waits as well.
 */
static bool was_waiting(const ucontext_t *context) {
  static const unsigned char call[] = {0x0f, 0x05};
  const greg_t *registers = context->uc_mcontext.gregs;
  const unsigned char *next = (const unsigned char *)registers[REG_RIP];
  if (registers[REG_RAX] == -EINTR) return memcmp(next - sizeof call, call, sizeof call) == 0;
  return memcmp(next, call, sizeof call) == 0 && only_waits(registers[REG_RAX], registers[REG_RSI]);
}

/*
 * The signal handler, which runs in every thread but the one that forks: notes the thread's context and waits.
 * In the copy, the thread goes on from that context.
 */
static void stop_here(int number, siginfo_t *info, void *context) {
  int error = errno;
  uint32_t now = __atomic_load_n(&generation, __ATOMIC_ACQUIRE);
  if (info->si_code != SI_TKILL) {
    /* a real fault: after the return it happens again, and ends the process */
    signal(number, SIG_DFL);
    return;
  }
  if (!(now & 1)) return;
  uint32_t index = __atomic_fetch_add(&taken, 1, __ATOMIC_ACQ_REL);
  if (index >= MAX_THREADS) return;
  struct thread *self = &threads[index];
  self->descriptor = (char *)(void *)pthread_self();
  self->tid = (pid_t)syscall(SYS_gettid);
  self->rests = was_waiting(context);
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
  int directory = openat(proc_self, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
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

/* Stops them wherever they are. */
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

static bool all_rest(int count) {
  for (int index = 0; index < count; index++)
    if (!threads[index].rests) return false;
  return true;
}

int threads_stop_others(void) {
  const struct timespec millisecond = {.tv_nsec = 1000000};
  for (int tries = 1;; tries++) {
    int count = stop_others();
    if (count < 0 || all_rest(count)) return count;
    if (tries == REST_TRIES) return -EBUSY;
    threads_let_go();
    nanosleep(&millisecond, NULL);
  }
}

void threads_let_go(void) {
  __atomic_fetch_add(&generation, 1, __ATOMIC_ACQ_REL);
  wake(&generation);
}

bool threads_begin(void) {
  struct sigaction action = {.sa_flags = SA_SIGINFO | SA_RESTART};
  action.sa_sigaction = stop_here;
  sigfillset(&action.sa_mask);
  return sigaction(STOP_SIGNAL, &action, NULL) == 0;
}

void threads_enter_copy(void) {
  is_copy = true;
  *tid_of((char *)(void *)pthread_self()) = (pid_t)syscall(SYS_gettid);
}

static int go_on(void *argument) {
  struct thread *self = argument;
  setcontext(&self->context);
  give_up("setcontext", "a thread");
}

void threads_restart(int count) {
  const int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS |
                    CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID;
  for (int index = 0; index < count; index++) {
    struct thread *thread = &threads[index];
    pid_t *tid = tid_of(thread->descriptor);
    if (clone(go_on, thread->stack + STACK, flags, thread, tid, thread->descriptor, tid) < 0) give_up("clone", "a thread");
  }
}
