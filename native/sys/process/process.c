/*
 * Processes and namespaces: clone(2), clone3(2), execve(2), waitpid(2), pidfd_open(2), unshare(2), setns(2).
 *
 * A cloned child goes on in JavaScript: TypeScript does everything between `clone` and `execve`, so there is no C "spawn"
 * with a dozen options. Raw clone(2) is used because musl's fork takes no flags. musl's record of the thread id is stale
 * in the child, which matters only to abort(3); main.c has its own.
 */
#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sys/sys.h"

#define CLONE_FLAGS                                                                                   \
  (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | \
   CLONE_PARENT)
/* Longer than an execve(2) takes, and the answer to the request that waits for it. */
#define LINGER_MS 200

static long clone_into(uint32_t flags, int cgroup) {
  if (cgroup < 0) return syscall(SYS_clone, (unsigned long)flags | SIGCHLD, 0, 0, 0, 0);
  struct clone_args arguments = {
      .flags = flags | CLONE_INTO_CGROUP,
      /* clone3 refuses a signal with CLONE_PARENT: the sibling inherits the caller's */
      .exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD,
      .cgroup = (uint64_t)cgroup,
  };
  return syscall(SYS_clone3, &arguments, sizeof arguments);
}

SYS_FUNCTION(f_clone) {
  uint32_t flags;
  int cgroup = -1;
  SYS_ARGS("u|i", &flags, &cgroup);
  if (flags & ~(uint32_t)CLONE_FLAGS) return JS_ThrowRangeError(ctx, "only CLONE_NEW* and CLONE_PARENT may be set");
  long pid = clone_into(flags, cgroup);
  if (pid == 0) sys_reset_signals();
  return sys_result(ctx, pid);
}

/*
 * vfork(2) into a cgroup and namespaces. Returns 0 in the child and an error in the parent; on success the parent never
 * returns. When it wakes, the child has used the parent's stack, so it touches registers only.
 *
 * The parent closes its descriptors, so that nothing stays open because of it, and waits a moment before it ends. The last
 * process to leave the shared memory has to tear it down. Without the wait that would be the child, within an execve(2)
 * that somebody waits for.
 */
static long share_memory(struct clone_args *arguments) {
#ifdef __x86_64__
  static const struct timespec moment = {.tv_nsec = LINGER_MS * 1000000L};
  long result;
  __asm__ volatile(
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jle 1f\n\t"
      "mov %[close_range], %%eax\n\t"
      "xor %%edi, %%edi\n\t"
      "mov $-1, %%esi\n\t"
      "xor %%edx, %%edx\n\t"
      "syscall\n\t"
      "mov %[nanosleep], %%eax\n\t"
      "mov %[moment], %%rdi\n\t"
      "xor %%esi, %%esi\n\t"
      "syscall\n\t"
      "mov %[exit], %%eax\n\t"
      "xor %%edi, %%edi\n\t"
      "syscall\n"
      "1:"
      : "=a"(result)
      : "a"(SYS_clone3), "D"(arguments), "S"(sizeof *arguments), [exit] "i"(SYS_exit_group),
        [close_range] "i"(SYS_close_range), [nanosleep] "i"(SYS_nanosleep), [moment] "r"(&moment)
      : "rcx", "r11", "rdx", "memory");
  return result;
#else
  (void)arguments;
  return -ENOSYS;
#endif
}

SYS_FUNCTION(f_hand_over) {
  static pid_t child; /* the child sees it, too: the memory is shared */
  uint32_t flags;
  int cgroup = -1;
  SYS_ARGS("u|i", &flags, &cgroup);
  if (flags & ~(uint32_t)CLONE_FLAGS) return JS_ThrowRangeError(ctx, "only CLONE_NEW* and CLONE_PARENT may be set");
  struct clone_args arguments = {
      .flags = flags | CLONE_VM | CLONE_VFORK | CLONE_PARENT | CLONE_PARENT_SETTID |
               (cgroup < 0 ? 0 : CLONE_INTO_CGROUP),
      .parent_tid = (uintptr_t)&child,
      .cgroup = cgroup < 0 ? 0 : (uint64_t)cgroup,
  };
  long result = share_memory(&arguments);
  if (result < 0) return sys_failure(ctx, (int)-result);
  sys_reset_signals();
  return JS_NewInt32(ctx, child);
}

SYS_FUNCTION(f__exit) {
  int status;
  SYS_ARGS("i", &status);
  /* musl asks again and again where a filter of system calls refuses this; an invalid instruction needs no system call */
  syscall(SYS_exit_group, status);
  __builtin_trap();
}

SYS_FUNCTION(f_execve) {
  const char *path;
  SYS_ARGS("s", &path);
  char **arguments = sys_strings(ctx, argv[1]);
  if (!arguments) return JS_EXCEPTION;
  char **environment = sys_strings(ctx, argv[2]);
  if (!environment) {
    sys_free_strings(arguments);
    return JS_EXCEPTION;
  }
  execve(path, arguments, environment);
  int error = errno;
  sys_free_strings(arguments);
  sys_free_strings(environment);
  return sys_failure(ctx, error);
}

SYS_FUNCTION(f_waitpid) {
  int pid, options, status = 0, result;
  SYS_ARGS("ii", &pid, &options);
  do {
    result = waitpid(pid, &status, options);
  } while (result < 0 && errno == EINTR);
  if (result < 0) result = -errno;
  JSValue triple = JS_NewArray(ctx);
  if (JS_IsException(triple)) return triple;
  JS_SetPropertyUint32(ctx, triple, 0, JS_NewInt32(ctx, result));
  JS_SetPropertyUint32(ctx, triple, 1, JS_NewInt32(ctx, result > 0 && WIFEXITED(status) ? WEXITSTATUS(status) : -1));
  JS_SetPropertyUint32(ctx, triple, 2, JS_NewInt32(ctx, result > 0 && WIFSIGNALED(status) ? WTERMSIG(status) : 0));
  return triple;
}

SYS_FUNCTION(f_kill) {
  int pid, signal;
  SYS_ARGS("ii", &pid, &signal);
  return sys_result(ctx, kill(pid, signal));
}

SYS_FUNCTION(f_pidfd_open) {
  int pid;
  SYS_ARGS("i", &pid);
  return sys_result(ctx, syscall(SYS_pidfd_open, pid, 0)); /* close-on-exec by itself */
}

SYS_FUNCTION(f_pidfd_send_signal) {
  int fd, signal;
  SYS_ARGS("fi", &fd, &signal);
  return sys_result(ctx, syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0));
}

/* Raw, like clone: the pid must be the kernel's in any PID namespace. */
SYS_FUNCTION(f_getpid) {
  SYS_UNUSED;
  return JS_NewInt32(ctx, (int32_t)syscall(SYS_getpid));
}

SYS_FUNCTION(f_getppid) {
  SYS_UNUSED;
  return JS_NewInt32(ctx, (int32_t)syscall(SYS_getppid));
}

SYS_FUNCTION(f_setsid) {
  SYS_UNUSED;
  return sys_result(ctx, setsid());
}

SYS_FUNCTION(f_setpgid) {
  int pid, group;
  SYS_ARGS("ii", &pid, &group);
  return sys_result(ctx, setpgid(pid, group));
}

SYS_FUNCTION(f_unshare) {
  uint32_t flags;
  SYS_ARGS("u", &flags);
  return sys_result(ctx, unshare((int)flags));
}

SYS_FUNCTION(f_setns) {
  int fd;
  uint32_t type;
  SYS_ARGS("fu", &fd, &type);
  return sys_result(ctx, setns(fd, (int)type));
}

static const JSCFunctionListEntry functions[] = {
    JS_CFUNC_DEF("clone", 2, f_clone),
    JS_CFUNC_DEF("handOver", 2, f_hand_over),
    JS_CFUNC_DEF("_exit", 1, f__exit),
    JS_CFUNC_DEF("execve", 3, f_execve),
    JS_CFUNC_DEF("waitpid", 2, f_waitpid),
    JS_CFUNC_DEF("kill", 2, f_kill),
    JS_CFUNC_DEF("pidfdOpen", 1, f_pidfd_open),
    JS_CFUNC_DEF("pidfdSendSignal", 2, f_pidfd_send_signal),
    JS_CFUNC_DEF("getpid", 0, f_getpid),
    JS_CFUNC_DEF("getppid", 0, f_getppid),
    JS_CFUNC_DEF("setsid", 0, f_setsid),
    JS_CFUNC_DEF("setpgid", 2, f_setpgid),
    JS_CFUNC_DEF("unshare", 1, f_unshare),
    JS_CFUNC_DEF("setns", 2, f_setns),
};
SYS_GROUP(sys_process_group, functions);
